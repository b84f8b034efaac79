// The Runtime and Extensions APIs' states and words, and the platform's log lines.
#include <gtest/gtest.h>

#include "base/json.h"
#include "functions/sandbox/environment.h"
#include "functions/sandbox/extension_set.h"
#include "functions/sandbox/platform_log.h"
#include "functions/sandbox/runtime_protocol.h"

namespace berth::functions {
namespace {

TEST(RuntimeProtocol, AllowsTheOrderOfAnEvent) {
  EXPECT_EQ(check_call(RuntimeState::Started, RuntimeCall::Next, {}, {}).status, 0);
  EXPECT_EQ(check_call(RuntimeState::Running, RuntimeCall::Response, "a", "a").status, 0);
  EXPECT_EQ(check_call(RuntimeState::Running, RuntimeCall::InvocationError, "a", "a").status, 0);
  EXPECT_EQ(check_call(RuntimeState::ResponseSent, RuntimeCall::Next, {}, {}).status, 0);
  EXPECT_EQ(check_call(RuntimeState::Started, RuntimeCall::InitError, {}, {}).status, 0);
}

TEST(RuntimeProtocol, RefusesAnotherEventsId) {
  auto refusal = check_call(RuntimeState::Running, RuntimeCall::Response, "old", "new");
  EXPECT_EQ(refusal.status, 400);
  EXPECT_EQ(refusal.body, "{\"errorMessage\":\"Invalid request ID\",\"errorType\":\"InvalidRequestID\"}\n");
  EXPECT_EQ(check_call(RuntimeState::Ready, RuntimeCall::Response, "", "").status, 400);
}

TEST(RuntimeProtocol, RefusesCallsOutOfOrder) {
  auto twice = check_call(RuntimeState::ResponseSent, RuntimeCall::Response, "a", "a");
  EXPECT_EQ(twice.status, 403);
  EXPECT_NE(twice.body.find("InvalidStateTransition"), std::string::npos);
  EXPECT_NE(twice.body.find("from ResponseSent to InvocationResponse"), std::string::npos);
  EXPECT_EQ(check_call(RuntimeState::Running, RuntimeCall::Next, {}, "a").status, 403);
  EXPECT_EQ(check_call(RuntimeState::Ready, RuntimeCall::InitError, {}, {}).status, 403);
}

TEST(RuntimeProtocol, ErrorTypesFromOutside) {
  EXPECT_EQ(sound_error_type("Runtime.ImportModuleError"), "Runtime.ImportModuleError");
  EXPECT_EQ(sound_error_type("Function.Own"), "Function.Own");
  for (const char* bad :
       {"", "Runtime.", "Runtime.lower", "Other.Thing", "Runtime.A b", "Runtime.A\nB", "X"}) {
    EXPECT_EQ(sound_error_type(bad), "Runtime.Unknown") << bad;
  }
  EXPECT_EQ(sound_error_type("Runtime." + std::string(300, 'A')), "Runtime.Unknown");
}

TEST(RuntimeProtocol, EndsAsAwsTellsThem) {
  EXPECT_EQ(exit_text(0), "Runtime exited without providing a reason");
  EXPECT_EQ(exit_text(1), "Runtime exited with error: exit status 1");
  EXPECT_EQ(exit_text(127), "Runtime exited with error: exit status 127");
  EXPECT_EQ(exit_text(137), "Runtime exited with error: signal: killed");
  EXPECT_EQ(exit_text(139), "Runtime exited with error: signal: segmentation fault");
  EXPECT_EQ(exit_text(255), "Runtime exited with error: exit status 255");
  EXPECT_EQ(timeout_text(3), "Task timed out after 3.00 seconds");
}

TEST(PlatformLog, TextLinesAreTheRecordedOnes) {
  Timestamp time = from_unix_nanoseconds(1'700'000'000'123'000'000);
  EXPECT_EQ(start_line(LogFormat::Text, time, "id", "$LATEST"), "START RequestId: id Version: $LATEST\n");
  EXPECT_EQ(end_line("id"), "END RequestId: id\n");
  EventReport report{.request_id = "id",
                     .duration_us = 3005,
                     .billed_ms = 115,
                     .memory_mebibytes = 128,
                     .memory_peak_bytes = (36u << 20) - 5,
                     .init_us = 110'100};
  EXPECT_EQ(report_line(LogFormat::Text, time, report),
            "REPORT RequestId: id\tDuration: 3.00 ms\tBilled Duration: 115 ms\tMemory Size: 128 MB\tMax "
            "Memory Used: "
            "36 MB\tInit Duration: 110.10 ms\t\n");
  report.init_us = 0;
  report.status = ReportStatus::Timeout;
  EXPECT_TRUE(
      report_line(LogFormat::Text, time, report).ends_with("Max Memory Used: 36 MB\tStatus: timeout\t\n"));
  report.status = ReportStatus::Failure;
  report.error_type = "Runtime.ExitError";
  EXPECT_TRUE(report_line(LogFormat::Text, time, report)
                  .ends_with("Status: error\tError Type: Runtime.ExitError\t\n"));
}

TEST(PlatformLog, JsonLinesParse) {
  Timestamp time = from_unix_nanoseconds(1'700'000'000'123'000'000);
  EventReport report{.request_id = "id",
                     .duration_us = 3005,
                     .billed_ms = 4,
                     .memory_mebibytes = 128,
                     .memory_peak_bytes = 36u << 20};
  auto document = parse_json(report_line(LogFormat::Json, time, report));
  ASSERT_TRUE(document.has_value());
  EXPECT_EQ((*document)["type"], "platform.report");
  EXPECT_EQ((*document)["time"], "2023-11-14T22:13:20.123Z");
  EXPECT_EQ((*document)["record"]["metrics"]["billedDurationMs"], 4);
  EXPECT_EQ((*document)["record"]["metrics"]["durationMs"], 3.01);
  EXPECT_EQ((*document)["record"]["status"], "success");
}

TEST(PlatformLog, StreamNames) {
  Timestamp time = from_unix_nanoseconds(1'700'000'000'000'000'000);
  EXPECT_EQ(make_log_stream(time, "$LATEST", "ab"), "2023/11/14/[$LATEST]ab");
}

TEST(ExtensionSet, ExternalOnesMustRegisterAndAsk) {
  ExtensionSet set;
  set.expect({"monitor"});
  EXPECT_FALSE(set.all_ready());
  auto answer = set.enroll("monitor", R"({"events":["INVOKE","SHUTDOWN"]})", "{}", "id-1");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.id, "id-1");
  EXPECT_FALSE(set.all_ready());
  set.find("id-1")->state = Extension::State::Ready;
  EXPECT_TRUE(set.all_ready());
  set.post_invoke("event");
  EXPECT_TRUE(set.any_working());
  EXPECT_EQ(set.find("id-1")->events.size(), 1u);
}

TEST(ExtensionSet, InternalOnesHearNoShutdown) {
  ExtensionSet set;
  EXPECT_EQ(set.enroll("own", R"({"events":["SHUTDOWN"]})", "{}", "x").status, 400);
  EXPECT_EQ(set.enroll("own", R"({"events":["INVOKE"]})", "{}", "x").status, 200);
  EXPECT_EQ(set.enroll("own", R"({"events":["INVOKE"]})", "{}", "y").status, 403);
  set.post_shutdown("bye");
  EXPECT_TRUE(set.find("x")->events.empty());
  set.close_registration();
  EXPECT_EQ(set.enroll("late", "{}", "{}", "z").status, 403);
}

TEST(ExtensionSet, RefusesWhatItCannotRead) {
  ExtensionSet set;
  EXPECT_EQ(set.enroll("", "{}", "{}", "x").status, 400);
  EXPECT_EQ(set.enroll("a", "{", "{}", "x").status, 400);
  EXPECT_EQ(set.enroll("a", R"({"events":[1]})", "{}", "x").status, 400);
  EXPECT_EQ(set.enroll("a", R"({"events":["BOGUS"]})", "{}", "x").status, 400);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(set.enroll("n" + std::to_string(i), "{}", "{}", "i" + std::to_string(i)).status, 200);
  }
  EXPECT_EQ(set.enroll("n10", "{}", "{}", "i10").status, 403);
  EXPECT_EQ(set.find(""), nullptr);
}

TEST(Environment, ReservedVariablesWin) {
  auto function = std::make_shared<FunctionVersion>();
  function->name = "f";
  function->handler = "app.handler";
  function->runtime = "python3.11";
  function->environment = {{"OWN", "1"}, {"AWS_REGION", "elsewhere"}};
  SandboxPlan plan{
      .function = function, .log_group = "/aws/lambda/f", .log_stream = "s", .endpoint_port = 4566};
  auto env = sandbox_environment(plan);
  auto last = [&](std::string_view name) {
    std::string value;
    for (const std::string& entry : env) {
      if (entry.starts_with(std::string(name) + "=")) value = entry.substr(name.size() + 1);
    }
    return value;
  };
  EXPECT_EQ(last("OWN"), "1");
  EXPECT_EQ(last("AWS_REGION"), "us-east-1");
  EXPECT_EQ(last("_HANDLER"), "app.handler");
  EXPECT_EQ(last("AWS_LAMBDA_RUNTIME_API"), "127.0.0.1:9001");
  EXPECT_EQ(last("AWS_ENDPOINT_URL"), "http://127.0.0.1:4566");
  EXPECT_EQ(last("AWS_EXECUTION_ENV"), "AWS_Lambda_python3.11");
}

TEST(Environment, AProvidedZipNeedsABootstrap) {
  auto function = std::make_shared<FunctionVersion>();
  function->runtime = "provided.al2023";
  function->code_directory = "/nonexistent";
  auto program = sandbox_program({.function = function});
  ASSERT_FALSE(program.has_value());
  EXPECT_EQ(program.error().kind(), Kind::InvalidArgument);
  EXPECT_EQ(program.error().message(),
            "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]");
}

}  // namespace
}  // namespace berth::functions
