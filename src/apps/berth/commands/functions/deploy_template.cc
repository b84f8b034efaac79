// Deploying a SAM template: queues and buckets first, then functions, then what calls them.
#include <functional>
#include <set>

#include "apps/berth/archive/file_text.h"
#include "apps/berth/archive/zip_file.h"
#include "apps/berth/commands/functions/bucket_notification.h"
#include "apps/berth/commands/functions/template_function.h"
#include "base/bytes.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using client::function_path;
using client::FunctionClient;
using client::percent_encode;

constexpr size_t kMaxTemplate = 4u << 20;

class Deployment {
 public:
  Deployment(Context& context, const Template& document, std::string folder)
      : context_(context), client_(context), document_(document), folder_(std::move(folder)) {}

  Outcome<std::vector<DeployedFunction>> run() {
    for (const TemplateResource& resource : document_.resources) {
      Place place(document_, resource);
      if (resource.type == "AWS::Serverless::Function") {
        CHECK(check_function_properties(place));
      } else if (resource.type == "AWS::SQS::Queue") {
        CHECK(make_queue(place));
      } else if (resource.type == "AWS::S3::Bucket") {
        CHECK(make_bucket(place));
      } else {
        return place.refuse("", fmt::format("{} is a {}, which berth does not deploy: it deploys "
                                            "AWS::Serverless::Function, AWS::SQS::Queue and AWS::S3::Bucket",
                                            resource.logical_id, resource.type));
      }
    }
    for (const TemplateResource& resource : document_.resources) {
      if (resource.type == "AWS::Serverless::Function") CHECK(make_function(Place(document_, resource)));
    }
    return std::move(deployed_);
  }

 private:
  Outcome<void> make_queue(const Place& place) {
    Json attributes = Json::object();
    std::string name = place.text("QueueName", place.resource().logical_id);
    for (const auto& [key, value] : place.properties().items()) {
      if (key == "QueueName" || key == "Tags") continue;
      attributes[key] = value.is_string() ? value : Json(to_json(value));
    }
    if (attributes.contains("FifoQueue") && attributes["FifoQueue"] == "false") attributes.erase("FifoQueue");
    TRY(Json made, client_.sqs("CreateQueue", Json{{"QueueName", name}, {"Attributes", attributes}}));
    context_.out.print("queue {}\n", name);
    return {};
  }

  Outcome<void> make_bucket(const Place& place) {
    std::string name = bucket_name(place.text("BucketName", place.resource().logical_id));
    auto made = client_.call({.method = "PUT", .path = "/_berth/buckets/" + percent_encode(name)});
    if (!made && made.error().http_status != 409) return made.error();
    context_.out.print("bucket {}\n", name);
    notifications_[name];
    return {};
  }

  /// Logical ids have capitals, which names of buckets may not have.
  static std::string bucket_name(std::string name) {
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return name;
  }

  /// The template's notifications are all that its bucket has.
  Outcome<void> notify_of_objects(const Place& place, const std::string& function, const std::string& name,
                                  const Json& properties) {
    std::string bucket = member_text(properties, "Bucket");
    auto held = notifications_.find(bucket);
    if (held == notifications_.end())
      return place.refuse("Events", fmt::format("event {} needs a Bucket of this template, by !Ref", name));
    auto notification = read_notification(properties);
    if (!notification)
      return place.refuse("Events", fmt::format("event {}: {}", name, notification.error().message()));
    notification->id = fmt::format("{}-{}", name_of(function), name);
    notification->function_arn = arn_of(function);
    held->second.push_back(std::move(*notification));
    CHECK(client_.call({.method = "PUT",
                        .path = "/_berth/buckets/" + percent_encode(bucket) + "/notification",
                        .body = notification_document(held->second),
                        .content_type = "application/xml"}));
    context_.out.print("  bucket {}\n", bucket);
    return {};
  }

  Outcome<void> make_function(const Place& place) {
    TRY(FunctionSpec wanted, function_of_template(place, folder_));
    auto what = deploy_function(client_, wanted);
    if (!what) return what.error();
    context_.out.print("{} function {}\n", *what == Deployed::Created ? "created" : "updated", wanted.name);
    const Json& properties = place.properties();
    TRY(auto reserved, place.number("ReservedConcurrentExecutions"));
    if (reserved) {
      Json body{{"ReservedConcurrentExecutions", *reserved}};
      CHECK(client_.json({.method = "PUT",
                          .path = function_path(wanted.name, "concurrency", "2017-10-31"),
                          .body = to_json(body)}));
    }
    std::string called = wanted.name;
    if (std::string alias = place.text("AutoPublishAlias"); !alias.empty()) {
      CHECK(publish_as(wanted.name, alias));
      called += ":" + alias;
    }
    CHECK(provision(place, called));
    if (properties.contains("EventInvokeConfig")) CHECK(configure_events(place, called));
    if (properties.contains("FunctionUrlConfig"))
      CHECK(make_url(place, called, properties["FunctionUrlConfig"]));
    if (auto events = properties.find("Events"); events != properties.end() && events->is_object()) {
      for (const auto& [name, event] : events->items()) CHECK(make_event(place, called, name, event));
    }
    deployed_.push_back({place.resource().logical_id, std::move(wanted)});
    return {};
  }

  /// A version of what is there now, and the alias for it: what calls the function calls that.
  Outcome<void> publish_as(const std::string& function, const std::string& alias) {
    TRY(Json version, client_.json({.method = "POST", .path = function_path(function, "versions")}));
    std::string number = json_string(version, "Version").value_or("");
    Json body{{"Name", alias}, {"FunctionVersion", number}};
    auto made =
        client_.json({.method = "POST", .path = function_path(function, "aliases"), .body = to_json(body)});
    if (!made && made.error().http_status == 409) {
      made = client_.json({.method = "PUT",
                           .path = function_path(function, "aliases/" + percent_encode(alias)),
                           .body = to_json(body)});
    }
    if (!made) return made.error();
    context_.out.print("  alias {} of version {}\n", alias, number);
    return {};
  }

  Outcome<void> provision(const Place& place, const std::string& called) {
    auto config = place.properties().find("ProvisionedConcurrencyConfig");
    if (config == place.properties().end()) return {};
    size_t colon = called.find(':');
    if (colon == called.npos)
      return place.refuse(
          "ProvisionedConcurrencyConfig",
          "ProvisionedConcurrencyConfig needs AutoPublishAlias: sandboxes are kept for versions");
    TRY(auto count,
        place.parse("ProvisionedConcurrencyConfig", member_of(*config, "ProvisionedConcurrentExecutions")));
    CHECK(client_.json(
        {.method = "PUT",
         .path = function_path(called.substr(0, colon), "provisioned-concurrency", "2019-09-30") +
                 "?Qualifier=" + percent_encode(called.substr(colon + 1)),
         .body = to_json(Json{{"ProvisionedConcurrentExecutions", *count}})}));
    return {};
  }

  /// Without the alias.
  static std::string name_of(const std::string& called) { return called.substr(0, called.find(':')); }

  Outcome<void> configure_events(const Place& place, const std::string& function) {
    const Json& config = place.properties()["EventInvokeConfig"];
    Json body = Json::object();
    for (const char* name : {"MaximumRetryAttempts", "MaximumEventAgeInSeconds"}) {
      if (!config.is_object() || !config.contains(name)) continue;
      TRY(auto number, place.parse("EventInvokeConfig", config[name]));
      body[name] = *number;
    }
    if (config.is_object() && config.contains("DestinationConfig")) {
      const Json& destinations = config["DestinationConfig"];
      for (const char* when : {"OnSuccess", "OnFailure"}) {
        if (destinations.is_object() && destinations.contains(when))
          body["DestinationConfig"][when]["Destination"] = member_text(destinations[when], "Destination");
      }
    }
    CHECK(client_.json({.method = "PUT",
                        .path = function_path(function, "event-invoke-config", "2019-09-25"),
                        .body = to_json(body)}));
    return {};
  }

  Outcome<void> make_url(const Place& place, const std::string& function, const Json& config) {
    std::string auth = member_text(config, "AuthType");
    if (auth.empty())
      return place.refuse("FunctionUrlConfig", "FunctionUrlConfig needs an AuthType: NONE or AWS_IAM");
    Json body{{"AuthType", auth}};
    if (std::string mode = member_text(config, "InvokeMode"); !mode.empty()) body["InvokeMode"] = mode;
    if (config.contains("Cors")) {
      TRY(body["Cors"], cors_of(place, config["Cors"]));
    }
    std::string path = function_path(function, "url", "2021-10-31");
    auto made = client_.json({.method = "POST", .path = path, .body = to_json(body)});
    if (!made && made.error().http_status == 409)
      made = client_.json({.method = "PUT", .path = path, .body = to_json(body)});
    if (!made) return made.error();
    context_.out.print("  url {}\n", json_string(*made, "FunctionUrl").value_or(""));
    return {};
  }

  /// Scalars of templates are texts.
  Outcome<Json> cors_of(const Place& place, const Json& given) {
    if (!given.is_object()) return place.refuse("FunctionUrlConfig", "Cors must have properties of its own");
    Json cors = given;
    if (cors.contains("AllowCredentials"))
      cors["AllowCredentials"] = is_true(given, "AllowCredentials", false);
    if (cors.contains("MaxAge")) {
      TRY(auto seconds, place.parse("FunctionUrlConfig", given["MaxAge"]));
      cors["MaxAge"] = *seconds;
    }
    return cors;
  }

  Outcome<void> make_event(const Place& place, const std::string& function, const std::string& name,
                           const Json& event) {
    std::string type = member_text(event, "Type");
    Json properties =
        event.is_object() && event.contains("Properties") ? event["Properties"] : Json::object();
    if (type == "Schedule" || type == "ScheduleV2" || type == "EventBridgeRule" || type == "CloudWatchEvent")
      return make_rule(place, function, name, type, properties);
    if (type == "SQS") return map_queue(place, function, name, properties);
    if (type == "SelfManagedKafka") return map_kafka(place, function, name, properties);
    if (type == "S3") return notify_of_objects(place, function, name, properties);
    if (type == "Api" || type == "HttpApi") {
      if (url_made_.insert(function).second && !place.properties().contains("FunctionUrlConfig"))
        return make_url(place, function, Json{{"AuthType", "NONE"}});
      return {};
    }
    return place.refuse("Events", fmt::format("event {} is of type {}: berth knows Schedule, ScheduleV2, "
                                              "EventBridgeRule, SQS, S3, SelfManagedKafka, Api and HttpApi",
                                              name, type.empty() ? "(none)" : type));
  }

  Outcome<void> make_rule(const Place& place, const std::string& function, const std::string& name,
                          const std::string& type, const Json& properties) {
    std::string rule = member_text(properties, "Name");
    if (rule.empty()) rule = fmt::format("{}-{}", name_of(function), name);
    std::string expression =
        member_text(properties, type == "ScheduleV2" ? "ScheduleExpression" : "Schedule");
    Json body{{"Name", rule},
              {"State", is_true(properties, "Enabled", member_text(properties, "State") != "DISABLED")
                            ? "ENABLED"
                            : "DISABLED"}};
    if (properties.contains("Pattern")) {
      body["EventPattern"] = to_json(properties["Pattern"]);
    } else if (expression.empty()) {
      return place.refuse("Events", fmt::format("event {} has no schedule", name));
    } else {
      body["ScheduleExpression"] = expression;
    }
    CHECK(client_.target("AWSEvents.PutRule", body));
    Json target{{"Id", "function"}, {"Arn", arn_of(function)}};
    if (std::string input = member_text(properties, "Input"); !input.empty()) target["Input"] = input;
    CHECK(client_.target("AWSEvents.PutTargets", Json{{"Rule", rule}, {"Targets", Json::array({target})}}));
    context_.out.print("  rule {} {}\n", rule, expression);
    return {};
  }

  std::string arn_of(const std::string& function) const {
    return fmt::format("arn:aws:lambda:us-east-1:000000000000:function:{}", function);
  }

  /// Members that both kinds of mapping share.
  Outcome<Json> mapping_body(const Place& place, const std::string& function, const Json& properties) {
    Json body{{"FunctionName", function}, {"Enabled", is_true(properties, "Enabled", true)}};
    for (const char* name : {"BatchSize", "MaximumBatchingWindowInSeconds", "MaximumRetryAttempts",
                             "MaximumRecordAgeInSeconds"}) {
      if (!properties.contains(name)) continue;
      TRY(auto number, place.parse("Events", properties[name]));
      body[name] = *number;
    }
    for (const char* name : {"FunctionResponseTypes", "FilterCriteria", "DestinationConfig"}) {
      if (properties.contains(name)) body[name] = properties[name];
    }
    if (properties.contains("BisectBatchOnFunctionError"))
      body["BisectBatchOnFunctionError"] = is_true(properties, "BisectBatchOnFunctionError", false);
    if (properties.contains("ScalingConfig")) {
      TRY(auto most, place.parse("Events", member_of(properties["ScalingConfig"], "MaximumConcurrency")));
      body["ScalingConfig"] = {{"MaximumConcurrency", *most}};
    }
    return body;
  }

  Outcome<void> put_mapping(const std::string& what, const Json& body,
                            const std::function<bool(const Json&)>& same) {
    TRY(Json list, client_.json({.path = "/2015-03-31/event-source-mappings?FunctionName=" +
                                         percent_encode(body["FunctionName"].get<std::string>())}));
    for (const Json& mapping : member_of(list, "EventSourceMappings")) {
      if (!same(mapping)) continue;
      Json change = body;
      for (const char* fixed : {"EventSourceArn", "SelfManagedEventSource", "Topics", "StartingPosition",
                                "SelfManagedKafkaEventSourceConfig"})
        change.erase(fixed);
      CHECK(client_.json({.method = "PUT",
                          .path = "/2015-03-31/event-source-mappings/" +
                                  percent_encode(json_string(mapping, "UUID").value_or("")),
                          .body = to_json(change)}));
      context_.out.print("  source {}\n", what);
      return {};
    }
    CHECK(
        client_.json({.method = "POST", .path = "/2015-03-31/event-source-mappings", .body = to_json(body)}));
    context_.out.print("  source {}\n", what);
    return {};
  }

  Outcome<void> map_queue(const Place& place, const std::string& function, const std::string& name,
                          const Json& properties) {
    std::string queue = member_text(properties, "Queue");
    if (queue.empty()) return place.refuse("Events", fmt::format("event {} has no Queue", name));
    TRY(Json body, mapping_body(place, function, properties));
    body["EventSourceArn"] = queue;
    return put_mapping(queue, body, [&](const Json& mapping) {
      return json_string(mapping, "EventSourceArn").value_or("") == queue;
    });
  }

  Outcome<void> map_kafka(const Place& place, const std::string& function, const std::string& name,
                          const Json& properties) {
    if (!properties.contains("KafkaBootstrapServers") || !properties.contains("Topics"))
      return place.refuse("Events", fmt::format("event {} needs KafkaBootstrapServers and Topics", name));
    TRY(Json body, mapping_body(place, function, properties));
    body["SelfManagedEventSource"]["Endpoints"]["KAFKA_BOOTSTRAP_SERVERS"] =
        properties["KafkaBootstrapServers"];
    body["Topics"] = properties["Topics"];
    std::string position = member_text(properties, "StartingPosition");
    body["StartingPosition"] = position.empty() ? "LATEST" : position;
    if (std::string group = member_text(properties, "ConsumerGroupId"); !group.empty())
      body["SelfManagedKafkaEventSourceConfig"] = {{"ConsumerGroupId", group}};
    if (properties.contains("SourceAccessConfigurations"))
      body["SourceAccessConfigurations"] = properties["SourceAccessConfigurations"];
    return put_mapping(to_json(body["Topics"]), body,
                       [&](const Json& mapping) { return member_of(mapping, "Topics") == body["Topics"]; });
  }

  Context& context_;
  FunctionClient client_;
  const Template& document_;
  std::string folder_;
  std::vector<DeployedFunction> deployed_;
  std::set<std::string> url_made_;
  std::map<std::string, std::vector<BucketNotification>> notifications_;  ///< by the template's buckets
};

}  // namespace

Outcome<std::vector<DeployedFunction>> deploy_template(Context& context, const std::string& path,
                                                       const std::map<std::string, std::string>& parameters) {
  TRY(std::string text, archive::read_text(path, kMaxTemplate));
  size_t slash = path.rfind('/');
  std::string folder = slash == path.npos ? "." : path.substr(0, slash);
  TemplateContext settings{.parameters = parameters};
  TRY(Template document, read_template(path, text, settings));
  return Deployment(context, document, folder).run();
}

}  // namespace berth::cli::commands
