// Fields of images in lists.
#include "apps/berth/commands/image_rows.h"

#include <map>

#include "apps/berth/output/units.h"
#include "base/json.h"
#include "spec/reference.h"

namespace berth::cli::commands {
namespace {

std::vector<std::string> strings(const Json& object, std::string_view key) {
  return json_strings(object, key).value_or(std::vector<std::string>());
}

std::string size_or_unknown(int64_t size) {
  return size < 0 ? "N/A" : output::human_size(static_cast<double>(size));
}

/// "linux/amd64, linux/arm64/v8", of an engine that was asked for manifests.
std::string platforms(const Json& image) {
  std::string text;
  const Json* manifests = json_member(image, "Manifests");
  if (manifests == nullptr || !manifests->is_array()) return text;
  for (const Json& manifest : *manifests) {
    const Json* data = json_member(manifest, "ImageData");
    const Json* platform = data == nullptr ? nullptr : json_member(*data, "Platform");
    if (platform == nullptr) continue;
    std::string os = json_string(*platform, "os").value_or("");
    std::string architecture = json_string(*platform, "architecture").value_or("");
    std::string variant = json_string(*platform, "variant").value_or("");
    text += (text.empty() ? "" : ", ") + os + "/" + architecture + (variant.empty() ? "" : "/" + variant);
  }
  return output::printable(text);
}

}  // namespace

const Headings image_headings{
    {"ID", "IMAGE ID"},
    {"Repository", "REPOSITORY"},
    {"Tag", "TAG"},
    {"Digest", "DIGEST"},
    {"CreatedSince", "CREATED"},
    {"CreatedAt", "CREATED AT"},
    {"Size", "SIZE"},
    {"Containers", "CONTAINERS"},
    {"VirtualSize", "SIZE"},
    {"SharedSize", "SHARED SIZE"},
    {"UniqueSize", "UNIQUE SIZE"},
    {"Platforms", "PLATFORMS"},
};

bool is_dangling(const Json& image) {
  auto tags = strings(image, "RepoTags");
  auto digests = strings(image, "RepoDigests");
  if (tags.empty() && digests.empty()) return true;
  return tags.size() == 1 && tags[0] == "<none>:<none>" && digests.size() == 1 &&
         digests[0] == "<none>@<none>";
}

std::vector<ImageName> image_names(const Json& image, Digests digests) {
  if (is_dangling(image)) return {{"<none>", "<none>", "<none>"}};
  std::map<std::string, std::vector<std::string>> digests_of;
  for (const std::string& text : strings(image, "RepoDigests")) {
    auto reference = spec::Reference::parse(text);
    if (reference && reference->digest())
      digests_of[reference->familiar_name()].push_back(reference->digest()->str());
  }
  std::vector<ImageName> names;
  std::map<std::string, bool> tagged;
  for (const std::string& text : strings(image, "RepoTags")) {
    auto reference = spec::Reference::parse(text);
    if (!reference || reference->tag().empty()) continue;
    std::string repository = reference->familiar_name();
    tagged[repository] = true;
    const auto& known = digests_of[repository];
    if (digests == Digests::Hide || known.empty()) {
      names.push_back({repository, reference->tag(), "<none>"});
      continue;
    }
    for (const std::string& digest : known) names.push_back({repository, reference->tag(), digest});
  }
  for (const auto& [repository, known] : digests_of) {
    if (tagged[repository] || known.empty()) continue;
    if (digests == Digests::Hide) {
      names.push_back({repository, "<none>", ""});
      continue;
    }
    for (const std::string& digest : known) names.push_back({repository, "<none>", digest});
  }
  return names;
}

RowFields image_row(const Json& image, const ImageName& name, Truncate truncate, Timestamp now) {
  int64_t seconds = json_int(image, "Created").value_or(0);
  Timestamp created = from_unix_nanoseconds(seconds * 1'000'000'000);
  int64_t size = json_int(image, "Size").value_or(0);
  int64_t shared = json_int(image, "SharedSize", -1).value_or(-1);
  int64_t containers = json_int(image, "Containers", -1).value_or(-1);
  std::string id = json_string(image, "Id").value_or("");
  RowFields row;
  row.emplace_back("ID", truncate == Truncate::Yes ? output::short_id(id) : id);
  row.emplace_back("Repository", name.repository);
  row.emplace_back("Tag", name.tag);
  row.emplace_back("Digest", name.digest);
  row.emplace_back("CreatedSince", output::time_ago(created, now));
  row.emplace_back("CreatedAt", output::local_time(created));
  row.emplace_back("Size", output::human_size(static_cast<double>(size), 3));
  row.emplace_back("Containers", containers < 0 ? std::string("N/A") : fmt::format("{}", containers));
  row.emplace_back("VirtualSize", output::human_size(static_cast<double>(size)));
  row.emplace_back("SharedSize", size_or_unknown(shared));
  row.emplace_back("UniqueSize",
                   shared < 0 || size < 0 ? std::string("N/A") : size_or_unknown(size - shared));
  row.emplace_back("Platforms", platforms(image));
  return row;
}

}  // namespace berth::cli::commands
