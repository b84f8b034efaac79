// One list of members per record serves both directions: a Writer puts them into an object, a Reader takes
// them out. A member that an older berth did not write keeps its default.
#include "functions/catalog/record_json.h"

#include <type_traits>

#include "base/format.h"
#include "base/json.h"

namespace berth::functions {
namespace {

class Writer {
 public:
  template <class T>
  void operator()(const char* name, const T& value) {
    object[name] = to(value);
  }
  Json object = Json::object();

  template <class T>
  static Json to(const T& value);
};

class Reader {
 public:
  explicit Reader(const Json& object) : object_(object) {}
  template <class T>
  void operator()(const char* name, T& value) {
    if (auto found = object_.find(name); found != object_.end()) from(*found, value);
  }

  template <class T>
  static void from(const Json& json, T& value);

 private:
  const Json& object_;
};

/// The members' values in their order, without names.
class PackedWriter {
 public:
  template <class T>
  void operator()(const char*, const T& value) {
    values.push_back(Writer::to(value));
  }
  Json values = Json::array();
};

/// Takes them out again; null leaves a member as it is.
class PackedReader {
 public:
  explicit PackedReader(const Json& values) : values_(values) {}
  template <class T>
  void operator()(const char*, T& value) {
    const Json& held = values_.at(next_++);
    if (!held.is_null()) Reader::from(held, value);
  }

 private:
  const Json& values_;
  size_t next_ = 0;
};

template <class T, class Visitor>
concept Record = requires(T& value, Visitor& visitor) {
  visit(value, visitor);
};

template <class R, class V>
requires std::is_same_v<std::remove_const_t<R>, LayerUse>
void visit(R& r, V& v) {
  v("arn", r.arn);
  v("size", r.code_size);
  v("directory", r.directory);
}
template <class R, class V>
requires std::is_same_v<std::remove_const_t<R>, ImageOverrides>
void visit(R& r, V& v) {
  v("entry_point", r.entry_point);
  v("command", r.command);
  v("working_directory", r.working_directory);
}
template <class R, class V>
requires std::is_same_v<std::remove_const_t<R>, LoggingSettings>
void visit(R& r, V& v) {
  v("format", r.format);
  v("application_level", r.application_level);
  v("system_level", r.system_level);
  v("group", r.log_group);
}
template <class R, class V>
requires std::is_same_v<std::remove_const_t<R>, Realm>
void visit(R& r, V& v) {
  v("account", r.account);
  v("region", r.region);
}
template <class R, class V>
requires std::is_same_v<std::remove_const_t<R>, FunctionVersion>
void visit(R& r, V& v) {
  v("realm", r.realm);
  v("name", r.name);
  v("version", r.version);
  v("package", r.package);
  v("runtime", r.runtime);
  v("handler", r.handler);
  v("role", r.role);
  v("description", r.description);
  v("timeout", r.timeout_seconds);
  v("memory", r.memory_mebibytes);
  v("ephemeral", r.ephemeral_mebibytes);
  v("architecture", r.architecture);
  v("environment", r.environment);
  v("layers", r.layers);
  v("logging", r.logging);
  v("tracing", r.tracing);
  v("dead_letter", r.dead_letter_arn);
  v("code_sha256", r.code_sha256);
  v("code_size", r.code_size);
  v("code_directory", r.code_directory);
  v("image", r.image);
  v("image_id", r.image_id);
  v("image_overrides", r.image_overrides);
  v("revision", r.revision_id);
  v("modified", r.last_modified);
  v("state", r.state);
  v("state_reason", r.state_reason);
  v("state_reason_code", r.state_reason_code);
  v("update_status", r.update_status);
  v("update_reason", r.update_reason);
  v("update_reason_code", r.update_reason_code);
  v("kept", r.kept_members);
}
template <class R, class V>
requires std::is_same_v<std::remove_const_t<R>, Alias>
void visit(R& r, V& v) {
  v("name", r.name);
  v("version", r.version);
  v("description", r.description);
  v("revision", r.revision_id);
  v("weights", r.weights);
}
template <class R, class V>
requires std::is_same_v<std::remove_const_t<R>, Policy>
void visit(R& r, V& v) {
  v("revision", r.revision_id);
  v("statements", r.statements);
}
template <class R, class V>
requires std::is_same_v<std::remove_const_t<R>, UrlConfig::Cors>
void visit(R& r, V& v) {
  v("credentials", r.allow_credentials);
  v("headers", r.allow_headers);
  v("methods", r.allow_methods);
  v("origins", r.allow_origins);
  v("expose", r.expose_headers);
  v("max_age", r.max_age);
}
template <class R, class V>
requires std::is_same_v<std::remove_const_t<R>, UrlConfig>
void visit(R& r, V& v) {
  v("id", r.id);
  v("qualifier", r.qualifier);
  v("auth", r.auth_type);
  v("mode", r.invoke_mode);
  v("cors", r.cors);
  v("created", r.created);
  v("modified", r.modified);
}
template <class R, class V>
requires std::is_same_v<std::remove_const_t<R>, EventInvokeConfig>
void visit(R& r, V& v) {
  v("retries", r.maximum_retries);
  v("age", r.maximum_age_seconds);
  v("success", r.on_success);
  v("failure", r.on_failure);
  v("modified", r.modified);
}
template <class R, class V>
requires std::is_same_v<std::remove_const_t<R>, ProvisionedConfig>
void visit(R& r, V& v) {
  v("requested", r.requested);
  v("modified", r.modified);
}
template <class R, class V>
requires std::is_same_v<std::remove_const_t<R>, ScalingConfig>
void visit(R& r, V& v) {
  v("least", r.least);
  v("most", r.most);
}
template <class R, class V>
requires std::is_same_v<std::remove_const_t<R>, FunctionSettings>
void visit(R& r, V& v) {
  v("tags", r.tags);
  v("aliases", r.aliases);
  v("policies", r.policies);
  v("urls", r.urls);
  v("event_invoke", r.event_invoke);
  v("provisioned", r.provisioned);
  v("scaling", r.scaling);
  v("reserved", r.reserved_concurrency);
  v("runtime_management", r.runtime_management);
  v("recursive_loop", r.recursive_loop);
  v("code_signing", r.code_signing_config);
  v("next_version", r.next_version);
  v("kept", r.kept);
}
template <class R, class V>
requires std::is_same_v<std::remove_const_t<R>, LayerVersion>
void visit(R& r, V& v) {
  v("realm", r.realm);
  v("name", r.name);
  v("version", r.version);
  v("description", r.description);
  v("license", r.license);
  v("runtimes", r.runtimes);
  v("architectures", r.architectures);
  v("code_sha256", r.code_sha256);
  v("code_size", r.code_size);
  v("directory", r.directory);
  v("created", r.created);
  v("policy", r.policy);
}
template <class R, class V>
requires std::is_same_v<std::remove_const_t<R>, EventSourceMapping>
void visit(R& r, V& v) {
  v("uuid", r.uuid);
  v("realm", r.realm);
  v("function", r.function);
  v("qualifier", r.qualifier);
  v("source", r.event_source_arn);
  v("enabled", r.enabled);
  v("batch_size", r.batch_size);
  v("window", r.window_seconds);
  v("filters", r.filters);
  v("report_item_failures", r.report_item_failures);
  v("retries", r.maximum_retries);
  v("record_age", r.maximum_record_age_seconds);
  v("bisect", r.bisect_on_error);
  v("on_failure", r.on_failure);
  v("concurrency", r.maximum_concurrency);
  v("topics", r.topics);
  v("servers", r.bootstrap_servers);
  v("group", r.consumer_group);
  v("access", r.source_access);
  v("position", r.starting_position);
  v("timestamp", r.starting_timestamp);
  v("kept", r.kept);
  v("state", r.state);
  v("reason", r.state_reason);
  v("result", r.last_result);
  v("modified", r.modified);
  v("tags", r.tags);
}

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};
template <class T>
struct IsMap : std::false_type {};
template <class V>
struct IsMap<std::map<std::string, V>> : std::true_type {};
template <class T>
struct IsVector : std::false_type {};
template <class V>
struct IsVector<std::vector<V>> : std::true_type {};

using TextPair = std::pair<std::string, std::string>;

template <class T>
Json Writer::to(const T& value) {
  if constexpr (std::is_same_v<T, Timestamp>) {
    return to_unix_nanoseconds(value);
  } else if constexpr (std::is_enum_v<T>) {
    return static_cast<int>(value);
  } else if constexpr (IsOptional<T>::value) {
    return value ? to(*value) : Json();
  } else if constexpr (IsMap<T>::value) {
    Json object = Json::object();
    for (const auto& [key, member] : value) object[key] = to(member);
    return object;
  } else if constexpr (IsVector<T>::value) {
    Json array = Json::array();
    for (const auto& member : value) array.push_back(to(member));
    return array;
  } else if constexpr (std::is_same_v<T, TextPair>) {
    return Json::array({value.first, value.second});
  } else if constexpr (Record<const T, Writer>) {
    Writer inner;
    visit(value, inner);
    return std::move(inner.object);
  } else {
    return value;
  }
}

template <class T>
void Reader::from(const Json& json, T& value) {
  if constexpr (std::is_same_v<T, Timestamp>) {
    value = from_unix_nanoseconds(json.get<int64_t>());
  } else if constexpr (std::is_enum_v<T>) {
    value = static_cast<T>(json.get<int>());
  } else if constexpr (IsOptional<T>::value) {
    if (json.is_null()) return;
    from(json, value.emplace());
  } else if constexpr (IsMap<T>::value) {
    for (const auto& [key, member] : json.items()) from(member, value[key]);
  } else if constexpr (IsVector<T>::value) {
    for (const auto& member : json) from(member, value.emplace_back());
  } else if constexpr (std::is_same_v<T, TextPair>) {
    value = {json.at(0).get<std::string>(), json.at(1).get<std::string>()};
  } else if constexpr (Record<T, Reader>) {
    Reader inner(json);
    visit(value, inner);
  } else {
    value = json.get<T>();
  }
}

template <class R>
std::string encode_record(const R& record) {
  Writer writer;
  visit(record, writer);
  return to_json(writer.object);
}

template <class R>
Result<R> decode_record(std::string_view text) {
  TRY(Json document, parse_json(text));
  R record;
  try {
    Reader reader(document);
    visit(record, reader);
  } catch (const std::exception& error) {
    return failure(Kind::Corrupt, "a stored document of the function catalog cannot be read: {}",
                   error.what());
  }
  return record;
}

}  // namespace

std::string encode(const FunctionVersion& version) {
  return encode_record(version);
}
std::string encode(const FunctionSettings& settings) {
  return encode_record(settings);
}
std::string encode(const LayerVersion& layer) {
  return encode_record(layer);
}
std::string encode(const EventSourceMapping& mapping) {
  return encode_record(mapping);
}
std::string pack(const FunctionVersion& version) {
  static const FunctionVersion fresh_version;
  PackedWriter fresh, writer;
  visit(fresh_version, fresh);
  visit(version, writer);
  for (size_t i = 0; i < writer.values.size(); ++i) {
    if (writer.values[i] == fresh.values[i]) writer.values[i] = nullptr;
  }
  std::string packed;
  Json::to_msgpack(writer.values, packed);
  return packed;
}

FunctionVersion unpack(std::string_view packed) {
  Json values = Json::from_msgpack(packed);
  FunctionVersion version;
  PackedReader reader(values);
  visit(version, reader);
  return version;
}

Result<FunctionVersion> decode_version(std::string_view text) {
  return decode_record<FunctionVersion>(text);
}
Result<FunctionSettings> decode_settings(std::string_view text) {
  return decode_record<FunctionSettings>(text);
}
Result<LayerVersion> decode_layer(std::string_view text) {
  return decode_record<LayerVersion>(text);
}
Result<EventSourceMapping> decode_mapping(std::string_view text) {
  return decode_record<EventSourceMapping>(text);
}

}  // namespace berth::functions
