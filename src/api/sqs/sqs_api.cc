// Dispatch, and the operations on queues.
#include "api/sqs/sqs_api.h"

#include <array>
#include <charconv>

#include "api/sqs/operations.h"
#include "base/format.h"
#include "base/json.h"
#include "functions/uuid.h"

namespace berth::api::sqs {

using functions::queues::QueueName;

namespace {

using Attributes = std::map<std::string, std::string>;

io::Task<SqsResult<Json>> create_queue(SqsCall& call) {
  CO_TRY(std::string name, required_string(call.input, "QueueName"));
  CO_TRY(Attributes attributes, string_map(call.input, "Attributes"));
  // The JSON protocol spells the member "tags".
  CO_TRY(Attributes tags, string_map(call.input, call.input.contains("tags") ? "tags" : "Tags"));
  CO_TRY(std::string made,
         co_await call.queues.create(call.realm, name, std::move(attributes), std::move(tags)));
  co_return Json{{"QueueUrl", url_of(call, made)}};
}

io::Task<SqsResult<Json>> delete_queue(SqsCall& call) {
  CO_TRY(QueueName queue, queue_of(call));
  CO_CHECK(co_await call.queues.remove(std::move(queue)));
  co_return Json(nullptr);
}

io::Task<SqsResult<Json>> purge_queue(SqsCall& call) {
  CO_TRY(QueueName queue, queue_of(call));
  CO_CHECK(co_await call.queues.purge(std::move(queue)));
  co_return Json(nullptr);
}

io::Task<SqsResult<Json>> list_queues(SqsCall& call) {
  std::string prefix = string_or_empty(call.input, "QueueNamePrefix");
  CO_TRY(auto most, optional_number(call.input, "MaxResults"));
  std::string after = string_or_empty(call.input, "NextToken");
  Json urls = Json::array();
  Json output = Json::object();
  auto limit = static_cast<size_t>(std::clamp<int64_t>(most.value_or(1000), 1, 1000));
  for (const auto& queue : call.queues.list(call.realm, prefix)) {
    if (queue->name <= after && !after.empty()) continue;
    if (urls.size() == limit) {
      std::string last = urls.back().get<std::string>();
      if (most) output["NextToken"] = last.substr(last.rfind('/') + 1);
      break;
    }
    urls.push_back(url_of(call, queue->name));
  }
  if (!urls.empty()) output["QueueUrls"] = std::move(urls);
  co_return output;
}

io::Task<SqsResult<Json>> get_queue_url(SqsCall& call) {
  CO_TRY(std::string name, required_string(call.input, "QueueName"));
  CO_TRY(auto queue, call.queues.find({call.realm, name}));
  co_return Json{{"QueueUrl", url_of(call, queue->name)}};
}

io::Task<SqsResult<Json>> get_queue_attributes(SqsCall& call) {
  CO_TRY(QueueName queue, queue_of(call));
  std::vector<std::string> names = string_list(call.input, "AttributeNames");
  CO_TRY(Attributes all, co_await call.queues.attributes(std::move(queue)));
  Json chosen = Json::object();
  for (const std::string& name : names) {
    if (name == "All") {
      chosen = all;
      break;
    }
    static constexpr std::array<std::string_view, 8> optional{"Policy",
                                                              "RedrivePolicy",
                                                              "RedriveAllowPolicy",
                                                              "KmsMasterKeyId",
                                                              "KmsDataKeyReusePeriodSeconds",
                                                              "FifoQueue",
                                                              "ContentBasedDeduplication",
                                                              "DeduplicationScope"};
    if (auto found = all.find(name); found != all.end()) {
      chosen[name] = found->second;
    } else if (std::find(optional.begin(), optional.end(), name) == optional.end() &&
               name != "FifoThroughputLimit") {
      co_return SqsError{"InvalidAttributeName", "InvalidAttributeName",
                         fmt::format("Unknown Attribute {}.", name)};
    }
  }
  if (chosen.empty()) co_return Json::object();
  co_return Json{{"Attributes", std::move(chosen)}};
}

io::Task<SqsResult<Json>> set_queue_attributes(SqsCall& call) {
  CO_TRY(QueueName queue, queue_of(call));
  CO_TRY(Attributes changes, string_map(call.input, "Attributes"));
  CO_CHECK(co_await call.queues.set_attributes(std::move(queue), std::move(changes)));
  co_return Json(nullptr);
}

io::Task<SqsResult<Json>> tag_queue(SqsCall& call) {
  CO_TRY(QueueName queue, queue_of(call));
  CO_TRY(Attributes tags, string_map(call.input, "Tags"));
  std::vector<std::string> removed;
  CO_CHECK(co_await call.queues.tag(std::move(queue), std::move(tags), std::move(removed)));
  co_return Json(nullptr);
}

io::Task<SqsResult<Json>> untag_queue(SqsCall& call) {
  CO_TRY(QueueName queue, queue_of(call));
  std::vector<std::string> keys = string_list(call.input, "TagKeys");
  Attributes added;
  CO_CHECK(co_await call.queues.tag(std::move(queue), std::move(added), std::move(keys)));
  co_return Json(nullptr);
}

io::Task<SqsResult<Json>> list_queue_tags(SqsCall& call) {
  CO_TRY(QueueName name, queue_of(call));
  CO_TRY(auto queue, call.queues.find(name));
  if (queue->tags.empty()) co_return Json::object();
  co_return Json{{"Tags", queue->tags}};
}

io::Task<SqsResult<Json>> list_dead_letter_source_queues(SqsCall& call) {
  CO_TRY(QueueName name, queue_of(call));
  CO_TRY([[maybe_unused]] auto queue, call.queues.find(name));
  Json urls = Json::array();
  for (const std::string& source : call.queues.dead_letter_sources(name))
    urls.push_back(url_of(call, source));
  co_return Json{{"queueUrls", std::move(urls)}};
}

/// Whoever reaches the engine may use its queues: permissions change nothing.
io::Task<SqsResult<Json>> accept_permission(SqsCall& call) {
  CO_TRY(QueueName name, queue_of(call));
  CO_TRY([[maybe_unused]] auto queue, call.queues.find(name));
  co_return Json(nullptr);
}

struct NamedOperation {
  std::string_view name;
  Operation operation;
};
constexpr std::array operations{
    NamedOperation{"CreateQueue", create_queue},
    NamedOperation{"DeleteQueue", delete_queue},
    NamedOperation{"PurgeQueue", purge_queue},
    NamedOperation{"ListQueues", list_queues},
    NamedOperation{"GetQueueUrl", get_queue_url},
    NamedOperation{"GetQueueAttributes", get_queue_attributes},
    NamedOperation{"SetQueueAttributes", set_queue_attributes},
    NamedOperation{"TagQueue", tag_queue},
    NamedOperation{"UntagQueue", untag_queue},
    NamedOperation{"ListQueueTags", list_queue_tags},
    NamedOperation{"ListDeadLetterSourceQueues", list_dead_letter_source_queues},
    NamedOperation{"AddPermission", accept_permission},
    NamedOperation{"RemovePermission", accept_permission},
    NamedOperation{"SendMessage", send_message},
    NamedOperation{"SendMessageBatch", send_message_batch},
    NamedOperation{"ReceiveMessage", receive_message},
    NamedOperation{"DeleteMessage", delete_message},
    NamedOperation{"DeleteMessageBatch", delete_message_batch},
    NamedOperation{"ChangeMessageVisibility", change_message_visibility},
    NamedOperation{"ChangeMessageVisibilityBatch", change_message_visibility_batch},
};

std::string base_url(const io::HttpRequestHead& head) {
  auto host = head.headers.get("host");
  return fmt::format("http://{}", host && !host->empty() ? *host : "127.0.0.1:4566");
}

}  // namespace

Operation find_operation(std::string_view name) {
  for (const NamedOperation& known : operations) {
    if (known.name == name) return known.operation;
  }
  return nullptr;
}

namespace {

SqsError missing_parameter_error(std::string message) {
  return {"MissingRequiredParameterException", "MissingParameter", std::move(message)};
}

}  // namespace

SqsError sqs_error(const Error& error) {
  // That an attribute may not be changed is a fault of its value, although the name is refused elsewhere.
  constexpr std::string_view unchangeable = "Modifying queue type is not supported.";
  const std::string& text = error.message();
  switch (error.kind()) {
    case Kind::NotFound:
      return {"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", text};
    case Kind::AlreadyExists:
      return {"QueueNameExists", "QueueAlreadyExists", text};
    case Kind::Unsupported:
      if (text.ends_with(unchangeable)) return {"InvalidAttributeValue", "InvalidAttributeValue", text};
      return {"InvalidAttributeName", "InvalidAttributeName", text};
    case Kind::InvalidArgument:
    case Kind::DeadlineExceeded:
      return text.starts_with("The request must contain the parameter ") ? missing_parameter_error(text)
                                                                         : invalid_parameter(text);
    case Kind::Corrupt:
      return {"InvalidMessageContents", "InvalidMessageContents", text};
    case Kind::WrongState:
      return {"MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight", text};
    case Kind::Exhausted:
      return {"OverLimit", "OverLimit", text, 403};
    default:
      return {"InternalError", "InternalError", text, 500};
  }
}

SqsError missing_parameter(std::string_view name) {
  return missing_parameter_error(fmt::format("The request must contain the parameter {}.", name));
}
SqsError invalid_parameter(std::string message) {
  return {"InvalidParameterValueException", "InvalidParameterValue", std::move(message)};
}

SqsResult<std::string> required_string(const Json& input, const char* name) {
  auto value = input.find(name);
  if (value == input.end() || value->is_null()) return missing_parameter(name);
  if (!value->is_string()) return invalid_parameter(fmt::format("{} must be a string.", name));
  return value->get<std::string>();
}

std::string string_or_empty(const Json& input, const char* name) {
  auto value = input.find(name);
  return value != input.end() && value->is_string() ? value->get<std::string>() : std::string();
}

SqsResult<std::optional<int64_t>> optional_number(const Json& input, const char* name) {
  auto value = input.find(name);
  if (value == input.end() || value->is_null()) return std::optional<int64_t>();
  if (value->is_number_integer()) return std::optional<int64_t>(value->get<int64_t>());
  if (value->is_string()) {
    const auto& text = value->get_ref<const std::string&>();
    int64_t number = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size()) return std::optional<int64_t>(number);
  }
  return invalid_parameter(fmt::format("{} must be an integer.", name));
}

SqsResult<std::map<std::string, std::string>> string_map(const Json& input, const char* name) {
  std::map<std::string, std::string> map;
  auto object = input.find(name);
  if (object == input.end() || object->is_null()) return map;
  if (!object->is_object()) return invalid_parameter(fmt::format("{} must be a map.", name));
  for (const auto& [key, value] : object->items()) {
    if (value.is_object() || value.is_array())
      return invalid_parameter(fmt::format("{}: the value of {} must be a string.", name, key));
    map[key] = value.is_string() ? value.get<std::string>() : to_json(value);
  }
  return map;
}

std::vector<std::string> string_list(const Json& input, const char* name) {
  std::vector<std::string> list;
  auto array = input.find(name);
  if (array == input.end() || !array->is_array()) return list;
  for (const Json& item : *array) {
    if (item.is_string()) list.push_back(item.get<std::string>());
  }
  return list;
}

SqsResult<QueueName> queue_of(const SqsCall& call) {
  auto member = call.input.find("QueueUrl");
  bool given = member != call.input.end() && !member->is_null();
  if (given && !member->is_string()) return invalid_parameter("QueueUrl must be a string.");
  std::string url = given ? member->get<std::string>() : call.path;
  size_t slash = url.rfind('/');
  std::string name = slash == url.npos ? url : url.substr(slash + 1);
  if (name.empty()) return missing_parameter("QueueUrl");
  return QueueName{call.realm, name};
}

std::string url_of(const SqsCall& call, const std::string& name) {
  return fmt::format("{}/{}/{}", call.base_url, call.realm.account, name);
}

io::Task<aws::Reply> SqsApi::handle(const io::HttpRequestHead& head, std::string body,
                                    functions::Realm realm) {
  std::string request_id = functions::random_uuid();
  Json input;
  Protocol protocol = head.headers.get("x-amz-target") ? Protocol::Json : Protocol::Query;
  auto request = read_request(head, body, input);
  if (!request) {
    const aws::AwsError& error = request.error();
    SqsError refused{error.type, error.type, error.message, error.status};
    co_return error_reply(protocol, refused, request_id);
  }
  Operation operation = find_operation(request->operation);
  if (operation == nullptr) {
    SqsError unknown{"InvalidAction", "InvalidAction",
                     fmt::format("The action {} is not valid for this endpoint.", request->operation)};
    co_return error_reply(protocol, unknown, request_id);
  }
  SqsCall call{.input = input,
               .realm = std::move(realm),
               .base_url = base_url(head),
               .path = request->protocol == Protocol::Query ? head.path : std::string(),
               .queues = queues_};
  auto output = co_await operation(call);
  if (!output) co_return error_reply(protocol, output.error(), request_id);
  co_return result_reply(*request, *output, request_id);
}

}  // namespace berth::api::sqs
