#include "api/sqs/protocol.h"

#include <array>
#include <charconv>
#include <map>

#include "api/aws/sigv4.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::api::sqs {
namespace {

using aws::xml_escape;

constexpr std::string_view kTarget = "AmazonSQS.";
constexpr size_t kMaxParameters = 4000;
constexpr size_t kMaxDepth = 8;

/// Lists of the query protocol: "AttributeName.1" is element 1 of the JSON protocol's AttributeNames.
struct ListRule {
  std::string_view parameter, member;
};
constexpr std::array list_rules{ListRule{"AttributeName", "AttributeNames"},
                                ListRule{"MessageAttributeName", "MessageAttributeNames"},
                                ListRule{"MessageSystemAttributeName", "MessageSystemAttributeNames"},
                                ListRule{"TagKey", "TagKeys"},
                                ListRule{"AWSAccountId", "AWSAccountIds"},
                                ListRule{"ActionName", "Actions"},
                                ListRule{"SendMessageBatchRequestEntry", "Entries"},
                                ListRule{"DeleteMessageBatchRequestEntry", "Entries"},
                                ListRule{"ChangeMessageVisibilityBatchRequestEntry", "Entries"}};
/// Maps: "Attribute.1.Name" and "Attribute.1.Value".
struct MapRule {
  std::string_view parameter, member, key;
};
constexpr std::array map_rules{
    MapRule{"Attribute", "Attributes", "Name"}, MapRule{"MessageAttribute", "MessageAttributes", "Name"},
    MapRule{"MessageSystemAttribute", "MessageSystemAttributes", "Name"}, MapRule{"Tag", "Tags", "Key"}};

/// Objects keyed by the parts of the parameters' names.
Json parameter_tree(const io::HttpQuery& query) {
  Json tree = Json::object();
  size_t count = 0;
  for (const auto& [name, value] : query.parameters()) {
    if (++count > kMaxParameters) break;
    Json* at = &tree;
    std::string_view rest = name;
    size_t depth = 0;
    while (true) {
      size_t dot = rest.find('.');
      std::string part(rest.substr(0, dot));
      if (dot == rest.npos || ++depth > kMaxDepth) {
        if (at->is_object()) (*at)[part] = value;
        break;
      }
      Json& next = (*at)[part];
      if (!next.is_object()) next = Json::object();
      at = &next;
      rest.remove_prefix(dot + 1);
    }
  }
  return tree;
}

/// Members "1", "2", ... in the order of their numbers.
std::vector<const Json*> numbered(const Json& object) {
  std::map<uint32_t, const Json*> ordered;
  for (const auto& [key, value] : object.items()) {
    uint32_t number = 0;
    auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), number);
    if (error == std::errc() && end == key.data() + key.size()) ordered[number] = &value;
  }
  std::vector<const Json*> result;
  for (const auto& [number, value] : ordered) result.push_back(value);
  return result;
}

Json as_input(const Json& tree);

Json as_map(const Json& object, std::string_view key_name) {
  Json map = Json::object();
  for (const Json* entry : numbered(object)) {
    if (!entry->is_object()) continue;
    auto key = entry->find(key_name);
    auto value = entry->find("Value");
    if (key == entry->end() || !key->is_string() || value == entry->end()) continue;
    map[key->get<std::string>()] = *value;
  }
  return map;
}

Json as_input(const Json& tree) {
  Json input = Json::object();
  for (const auto& [name, value] : tree.items()) {
    if (!value.is_object()) {
      input[name] = value;
      continue;
    }
    for (const ListRule& rule : list_rules) {
      if (rule.parameter != name) continue;
      Json list = Json::array();
      for (const Json* element : numbered(value))
        list.push_back(element->is_object() ? as_input(*element) : *element);
      input[std::string(rule.member)] = std::move(list);
    }
    for (const MapRule& rule : map_rules) {
      if (rule.parameter == name) input[std::string(rule.member)] = as_map(value, rule.key);
    }
  }
  return input;
}

// --- XML
// -----------------------------------------------------------------------------------------------------

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : to_json(value);
}

void element(std::string& xml, std::string_view name, const Json& value) {
  xml += fmt::format("<{0}>{1}</{0}>", name, xml_escape(text_of(value)));
}

/// How lists of results are spelt, by operation where it matters.
std::string element_name(std::string_view operation, const std::string& member) {
  if (member == "QueueUrls" || member == "queueUrls") return "QueueUrl";
  if (member == "Messages") return "Message";
  if (member == "Failed") return "BatchResultErrorEntry";
  if (member == "Successful") return fmt::format("{}ResultEntry", operation);
  return member;
}

void members(std::string& xml, std::string_view operation, const Json& object);

void map_elements(std::string& xml, const std::string& member, const Json& map) {
  for (const auto& [key, value] : map.items()) {
    if (member == "Tags") {
      xml += fmt::format("<Tag><Key>{}</Key><Value>{}</Value></Tag>", xml_escape(key),
                         xml_escape(text_of(value)));
      continue;
    }
    std::string single = member.substr(0, member.size() - 1);  // Attributes -> Attribute
    xml += fmt::format("<{}><Name>{}</Name>", single, xml_escape(key));
    if (value.is_object()) {
      xml += "<Value>";
      for (const auto& [part, content] : value.items()) element(xml, part, content);
      xml += "</Value>";
    } else {
      element(xml, "Value", value);
    }
    xml += fmt::format("</{}>", single);
  }
}

void members(std::string& xml, std::string_view operation, const Json& object) {
  for (const auto& [member, value] : object.items()) {
    if (value.is_array()) {
      std::string name = element_name(operation, member);
      for (const Json& item : value) {
        if (!item.is_object()) {
          element(xml, name, item);
          continue;
        }
        xml += fmt::format("<{}>", name);
        members(xml, operation, item);
        xml += fmt::format("</{}>", name);
      }
    } else if (value.is_object()) {
      map_elements(xml, member, value);
    } else {
      element(xml, member, value);
    }
  }
}

constexpr std::string_view kNamespace = "http://queue.amazonaws.com/doc/2012-11-05/";

aws::AwsError unreadable(std::string message) {
  return {.status = 400, .type = "InvalidParameterValue", .message = std::move(message)};
}

bool is_form(const io::HttpRequestHead& head) {
  auto type = head.headers.get("content-type");
  return type && type->starts_with("application/x-www-form-urlencoded");
}

}  // namespace

bool is_sqs(const io::HttpRequestHead& head) {
  if (auto target = head.headers.get("x-amz-target")) return target->starts_with(kTarget);
  auto signature = aws::read_signature(head);
  if (signature && signature->service == "sqs") return true;
  if (signature || (!is_form(head) && !head.query.get("Action"))) return false;
  // Unsigned, with a queue's path: /ACCOUNT/NAME.
  size_t slash = head.path.find('/', 1);
  if (slash != 13 || head.path.size() < 15) return false;
  return head.path.find_first_not_of("0123456789", 1) == slash;
}

Json input_of_query(const io::HttpQuery& query) {
  return as_input(parameter_tree(query));
}

aws::AwsResult<SqsRequest> read_request(const io::HttpRequestHead& head, std::string_view body, Json& input) {
  SqsRequest request{.path = head.path};
  if (auto target = head.headers.get("x-amz-target"); target && target->starts_with(kTarget)) {
    request.operation = target->substr(kTarget.size());
    if (body.empty()) body = "{}";
    auto parsed = parse_json(body, {.max_bytes = 32u << 20, .max_depth = 16});
    if (!parsed || !parsed->is_object()) return unreadable("The request body is not a JSON object.");
    input = std::move(*parsed);
    return request;
  }
  request.protocol = Protocol::Query;
  auto form = io::HttpQuery::parse(body);
  if (!form) return unreadable("The request body is not a form: " + form.error().message());
  input = input_of_query(form->parameters().empty() ? head.query : *form);
  auto action = input.find("Action");
  if (action == input.end() || !action->is_string()) {
    return aws::AwsError{
        .status = 400, .type = "MissingAction", .message = "The request must contain the parameter Action."};
  }
  request.operation = action->get<std::string>();
  return request;
}

aws::Reply result_reply(const SqsRequest& request, const Json& output, std::string_view request_id) {
  aws::Reply reply;
  reply.headers.emplace_back("x-amzn-RequestId", request_id);
  if (request.protocol == Protocol::Json) {
    reply.content_type = "application/x-amz-json-1.0";
    if (!output.is_null()) reply.body = to_json(output);
    return reply;
  }
  reply.content_type = "text/xml";
  const std::string& name = request.operation;
  std::string xml = fmt::format("<?xml version=\"1.0\"?><{}Response xmlns=\"{}\">", name, kNamespace);
  if (!output.is_null()) {
    xml += fmt::format("<{}Result>", name);
    members(xml, name, output);
    xml += fmt::format("</{}Result>", name);
  }
  xml += fmt::format("<ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata></{}Response>",
                     request_id, name);
  reply.body = std::move(xml);
  return reply;
}

aws::Reply error_reply(Protocol protocol, const SqsError& error, std::string_view request_id) {
  aws::Reply reply{.status = error.status};
  std::string_view fault = error.status >= 500 ? "Receiver" : "Sender";
  reply.headers.emplace_back("x-amzn-RequestId", request_id);
  if (protocol == Protocol::Json) {
    reply.content_type = "application/x-amz-json-1.0";
    reply.headers.emplace_back("x-amzn-query-error", fmt::format("{};{}", error.code, fault));
    reply.body = to_json(
        Json{{"__type", fmt::format("com.amazonaws.sqs#{}", error.shape)}, {"message", error.message}});
    return reply;
  }
  reply.content_type = "text/xml";
  reply.body = fmt::format(
      "<?xml version=\"1.0\"?><ErrorResponse xmlns=\"{}\"><Error><Type>{}</Type><Code>{}</Code><Message>{}"
      "</Message><Detail/></Error><RequestId>{}</RequestId></ErrorResponse>",
      kNamespace, fault, error.code, xml_escape(error.message), request_id);
  return reply;
}

}  // namespace berth::api::sqs
