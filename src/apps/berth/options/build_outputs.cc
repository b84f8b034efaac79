#include "apps/berth/options/build_outputs.h"

#include "apps/berth/options/csv.h"
#include "base/format.h"

namespace berth::cli::options {
namespace {

using Type = BuildOutput::Type;

bool is_true(const std::string& text) {
  return text == "true" || text == "1";
}

Result<void> set_type(BuildOutput& output, const std::string& value) {
  static const std::map<std::string, Type> types = {
      {"image", Type::Image},        {"registry", Type::Image}, {"oci", Type::Oci},
      {"docker", Type::Docker},      {"local", Type::Local},    {"tar", Type::Tar},
      {"cacheonly", Type::CacheOnly}};
  const auto found = types.find(value);
  if (found == types.end())
    return failure(Kind::InvalidArgument,
                   "--output type={}: it is one of image, registry, oci, docker, local, tar, cacheonly",
                   value);
  output.type = found->second;
  if (value == "registry") output.push = true;
  return {};
}

Result<void> set_field(BuildOutput& output, const std::string& field) {
  const size_t equals = field.find('=');
  if (equals == field.npos) return failure(Kind::InvalidArgument, "--output: \"{}\" is no key=value", field);
  const std::string key = field.substr(0, equals);
  const std::string value = field.substr(equals + 1);
  if (key == "type") return set_type(output, value);
  if (key == "dest") {
    output.dest = value;
  } else if (key == "push") {
    output.push = is_true(value);
  } else if (key == "name") {
    TRY(output.names, split_csv(value));
  } else {
    return failure(Kind::Unsupported, "--output: {} is not supported: type, dest, name and push are", key);
  }
  return {};
}

/// "manifest[linux/arm64]"
Result<BuildAnnotation> parse_place(std::string_view text, std::string_view whole) {
  BuildAnnotation annotation;
  using Place = BuildAnnotation::Place;
  const size_t bracket = text.find('[');
  const std::string_view name = text.substr(0, bracket);
  if (bracket != text.npos) {
    if (!text.ends_with(']')) return failure(Kind::InvalidArgument, "invalid annotation \"{}\"", whole);
    annotation.platform = text.substr(bracket + 1, text.size() - bracket - 2);
  }
  static const std::map<std::string_view, Place> places = {{"manifest", Place::Manifest},
                                                           {"index", Place::Index},
                                                           {"manifest-descriptor", Place::ManifestDescriptor},
                                                           {"index-descriptor", Place::IndexDescriptor}};
  const auto found = places.find(name);
  if (found == places.end()) {
    return failure(Kind::InvalidArgument,
                   "annotation \"{}\": {} is none of manifest, index, manifest-descriptor, index-descriptor",
                   whole, name);
  }
  annotation.place = found->second;
  return annotation;
}

}  // namespace

Result<BuildOutput> parse_build_output(std::string_view text) {
  BuildOutput output;
  if (text == "-") {
    output.type = Type::Tar;
    output.dest = "-";
    return output;
  }
  if (text.find('=') == text.npos) {
    output.type = Type::Local;
    output.dest = text;
  } else {
    TRY(const auto fields, split_csv(text));
    for (const std::string& field : fields) CHECK(set_field(output, field));
  }
  if (output.type == Type::Local && (output.dest.empty() || output.dest == "-"))
    return Error(Kind::InvalidArgument, "--output type=local needs a directory: dest=DIR");
  if ((output.type == Type::Oci || output.type == Type::Tar) && output.dest.empty()) output.dest = "-";
  if (output.push && output.type != Type::Image)
    return Error(Kind::InvalidArgument, "--output: push goes with type=image or type=registry alone");
  return output;
}

Result<std::string> check_build_output(std::string_view text) {
  TRY([[maybe_unused]] const auto output, parse_build_output(text));
  return std::string(text);
}

Result<std::vector<BuildAnnotation>> parse_annotation(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == text.npos || equals == 0)
    return failure(Kind::InvalidArgument, "invalid annotation \"{}\", expected key=value", text);
  std::string_view key = text.substr(0, equals);
  std::vector<BuildAnnotation> annotations;
  const size_t colon = key.find(':');
  std::string_view places = colon == key.npos ? std::string_view("manifest") : key.substr(0, colon);
  if (colon != key.npos) key.remove_prefix(colon + 1);
  if (key.empty()) return failure(Kind::InvalidArgument, "annotation \"{}\" has no key", text);
  while (!places.empty()) {
    const size_t end = places.find(',');
    TRY(auto annotation, parse_place(places.substr(0, end), text));
    annotation.key = key;
    annotation.value = text.substr(equals + 1);
    annotations.push_back(std::move(annotation));
    places.remove_prefix(end == places.npos ? places.size() : end + 1);
  }
  return annotations;
}

Result<std::string> check_annotation(std::string_view text) {
  TRY([[maybe_unused]] const auto annotations, parse_annotation(text));
  return std::string(text);
}

}  // namespace berth::cli::options
