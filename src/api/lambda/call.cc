#include "api/lambda/call.h"

#include <algorithm>
#include <charconv>

#include "base/bytes.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::api::lambda {

using functions::FunctionReference;

AwsResult<FunctionReference> Call::function_reference() const {
  auto reference = functions::parse_function_reference(capture(), realm());
  if (!reference) return aws::validation_exception(reference.error().message());
  // Who signs names a region, and asks its endpoint; who does not may mean any.
  bool elsewhere = !caller_.service.empty() && reference->realm.region != realm().region;
  if (elsewhere) {
    return aws::resource_not_found(fmt::format("Functions from '{}' are not reachable in this region ('{}')",
                                               reference->realm.region, realm().region));
  }
  if (auto given = exchange_.query().get("Qualifier"); given) {
    if (auto valid = functions::check_qualifier(*given); !valid) {
      return aws::validation_exception(valid.error().message());
    }
    if (!reference->qualifier.empty() && reference->qualifier != *given) {
      return aws::invalid_parameter(
          "The derived qualifier from the function name does not match the specified qualifier.");
    }
    reference->qualifier = *given;
  }
  return std::move(*reference);
}

AwsResult<const functions::FunctionEntry*> Call::function() const {
  TRY(auto reference, function_reference());
  const auto* entry = services_.catalog.find(reference.realm, reference.name);
  if (entry == nullptr)
    return functions::function_not_found(reference.realm, reference.name, reference.qualifier);
  return entry;
}

AwsResult<std::string> Call::qualifier() const {
  TRY(auto reference, function_reference());
  return std::move(reference.qualifier);
}

AwsResult<Json> Call::json() const {
  if (body_.empty()) return Json(Json::object());
  JsonLimits bounds{.max_bytes = body_.size(), .max_depth = 32};
  auto document = parse_json(body_, bounds);
  if (!document || !document->is_object()) {
    return AwsError{400, "SerializationException", "Could not parse request body into json"};
  }
  return std::move(*document);
}

AwsResult<Page> page_of(const Call& call, size_t count, size_t default_items) {
  size_t items = default_items;
  if (std::string_view text = call.query("MaxItems"); !text.empty()) {
    long long wanted = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), wanted);
    if (error != std::errc{} || end != text.data() + text.size() || wanted < 1 || wanted > 10'000) {
      return aws::validation_exception(
          functions::validation_error(text, "maxItems",
                                      wanted < 1 ? "Member must have value greater than or equal to 1"
                                                 : "Member must have value less than or equal to 10000")
              .message());
    }
    items = std::min<size_t>(static_cast<size_t>(wanted), default_items);
  }
  Page page;
  if (std::string_view marker = call.query("Marker"); !marker.empty()) {
    auto decoded = from_base64(marker);
    std::string_view text = decoded ? std::string_view(*decoded) : std::string_view();
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), page.begin);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) {
      return aws::invalid_parameter("Invalid marker");
    }
  }
  page.begin = std::min(page.begin, count);
  page.end = std::min(count, page.begin + items);
  if (page.end < count) page.next_marker = to_base64(std::to_string(page.end));
  return page;
}

Reply page_reply(std::string_view member, Json items, const Page& page) {
  Json body{{std::string(member), std::move(items)}};
  if (!page.next_marker.empty()) body["NextMarker"] = page.next_marker;
  return aws::json_reply(200, body);
}

}  // namespace berth::api::lambda
