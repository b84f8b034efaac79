package app;

import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.util.Map;

public class Handler implements RequestHandler<Map<String, String>, String> {
  public String handleRequest(Map<String, String> event, Context context) {
    if (event.containsKey("fail")) {
      throw new IllegalStateException("x");
    }
    context.getLogger().log("in " + context.getFunctionName());
    return event.get("name") + " " + context.getInvokedFunctionArn();
  }
}
