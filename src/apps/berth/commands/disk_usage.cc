// system df.
#include <algorithm>
#include <array>

#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/container_rows.h"
#include "apps/berth/commands/image_rows.h"
#include "apps/berth/commands/volume_rows.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/output/units.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using grammar::Flag;
using grammar::Invocation;
using grammar::Type;
using output::human_size;

/// GET /system/df with its lists as lists.
struct Usage {
  Json images = Json::array();
  Json containers = Json::array();
  Json volumes = Json::array();
  Json builds = Json::array();
  int64_t layers = 0;
  int64_t on_disk = 0;  ///< of images, as du counts
  int64_t build_bytes = 0;
  int64_t quota = 0;  ///< of images on the disk; 0: none
  int64_t quota_used = 0;
};

int64_t number(const Json& object, std::string_view key, int64_t fallback = 0) {
  return json_int(object, key, fallback).value_or(fallback);
}
bool flag(const Json& object, std::string_view key) {
  return json_bool(object, key).value_or(false);
}

Outcome<Usage> ask(Context& context) {
  TRY(auto reply, context.engine().call({.path = "/system/df"}));
  TRY(Json json, parse_json(reply.body, {.max_bytes = 256u << 20}));
  Usage usage;
  for (auto [key, list] : {std::pair{"Images", &usage.images},
                           {"Containers", &usage.containers},
                           {"Volumes", &usage.volumes},
                           {"BuildCache", &usage.builds}}) {
    if (auto found = json.find(key); found != json.end() && found->is_array()) *list = *found;
  }
  usage.layers = number(json, "LayersSize");
  usage.on_disk = number(json, "ImagesOnDisk");
  if (const Json* quota = json_member(json, "StorageQuota")) {
    usage.quota = number(*quota, "Limit");
    usage.quota_used = number(*quota, "Used");
  }
  for (const Json& build : usage.builds) {
    if (!flag(build, "Shared")) usage.build_bytes += number(build, "Size");
  }
  return usage;
}

std::string with_share(int64_t part, int64_t whole) {
  std::string size = human_size(static_cast<double>(part));
  return whole > 0 ? fmt::format("{} ({}%)", size, part * 100 / whole) : size;
}

struct Line {
  std::string_view type;
  size_t total = 0;
  size_t active = 0;
  int64_t bytes = 0;
  std::string reclaimable;
};

Line image_line(const Usage& usage) {
  Line line{"Images", usage.images.size(), 0, usage.layers, {}};
  int64_t used = 0;
  for (const Json& image : usage.images) {
    int64_t containers = number(image, "Containers");
    if (containers > 0) ++line.active;
    int64_t size = number(image, "Size");
    int64_t shared = number(image, "SharedSize");
    if (containers != 0 && size != -1 && shared != -1) used += size - shared;
  }
  line.reclaimable = with_share(usage.layers - used, usage.layers);
  return line;
}

bool is_active(const Json& container) {
  std::string state = json_string(container, "State").value_or("");
  return state == "running" || state == "paused" || state == "restarting";
}

Line container_line(const Usage& usage) {
  Line line{"Containers", usage.containers.size(), 0, 0, {}};
  int64_t reclaimable = 0;
  for (const Json& container : usage.containers) {
    int64_t size = number(container, "SizeRw");
    line.bytes += size;
    if (is_active(container)) {
      ++line.active;
    } else {
      reclaimable += size;
    }
  }
  line.reclaimable = with_share(reclaimable, line.bytes);
  return line;
}

Line volume_line(const Usage& usage) {
  Line line{"Local Volumes", usage.volumes.size(), 0, 0, {}};
  int64_t reclaimable = 0;
  for (const Json& volume : usage.volumes) {
    Json data = volume.value("UsageData", Json::object());
    int64_t size = number(data, "Size", -1);
    int64_t references = number(data, "RefCount");
    if (references > 0) ++line.active;
    if (size == -1) continue;
    line.bytes += size;
    if (references == 0) reclaimable += size;
  }
  line.reclaimable = with_share(reclaimable, line.bytes);
  return line;
}

Line build_line(const Usage& usage) {
  Line line{"Build Cache", usage.builds.size(), 0, usage.build_bytes, {}};
  int64_t in_use = 0;
  for (const Json& build : usage.builds) {
    if (!flag(build, "InUse")) continue;
    ++line.active;
    if (!flag(build, "Shared")) in_use += number(build, "Size");
  }
  line.reclaimable = human_size(static_cast<double>(usage.build_bytes - in_use));
  return line;
}

Outcome<int> summary(Context& context, const Usage& usage, const std::string& format) {
  const Headings headings{{"Type", "TYPE"},
                          {"TotalCount", "TOTAL"},
                          {"Active", "ACTIVE"},
                          {"Size", "SIZE"},
                          {"Reclaimable", "RECLAIMABLE"}};
  TRY(Listing listing, Listing::create(format, headings, "*formatter.diskUsageImagesContext"));
  for (const Line& line : {image_line(usage), container_line(usage), volume_line(usage), build_line(usage)}) {
    RowFields row;
    row.emplace_back("Type", line.type);
    row.emplace_back("TotalCount", fmt::format("{}", line.total));
    row.emplace_back("Active", fmt::format("{}", line.active));
    row.emplace_back("Size", human_size(static_cast<double>(line.bytes)));
    row.emplace_back("Reclaimable", line.reclaimable);
    CHECK(listing.add(std::move(row)));
  }
  context.out.write(listing.text());
  return 0;
}

// ---- verbose ----

const Headings build_headings{{"ID", "CACHE ID"},          {"Parent", "PARENT"},
                              {"CacheType", "CACHE TYPE"}, {"Size", "SIZE"},
                              {"CreatedSince", "CREATED"}, {"LastUsedSince", "LAST USED"},
                              {"UsageCount", "USAGE"},     {"InUse", "IN USE"},
                              {"Shared", "SHARED"},        {"Description", "DESCRIPTION"}};

RowFields build_row(const Json& build, Truncate truncate, Timestamp now) {
  auto text = [&](std::string_view key) { return json_string(build, key).value_or(""); };
  auto since = [&](std::string_view key) {
    auto time = parse_rfc3339(text(key));
    return time ? output::time_ago(*time, now) : std::string();
  };
  std::string id = truncate == Truncate::Yes ? output::short_id(text("ID")) : text("ID");
  RowFields row;
  row.emplace_back("ID", flag(build, "InUse") ? id + "*" : id);
  row.emplace_back("Parent", text("Parent"));
  row.emplace_back("CacheType", text("Type"));
  row.emplace_back("Description", text("Description"));
  row.emplace_back("Size", human_size(static_cast<double>(number(build, "Size")), 3));
  row.emplace_back("CreatedAt", text("CreatedAt"));
  row.emplace_back("CreatedSince", since("CreatedAt"));
  row.emplace_back("LastUsedAt", text("LastUsedAt"));
  row.emplace_back("LastUsedSince", since("LastUsedAt"));
  row.emplace_back("UsageCount", fmt::format("{}", number(build, "UsageCount")));
  row.emplace_back("InUse", flag(build, "InUse") ? "true" : "false");
  row.emplace_back("Shared", flag(build, "Shared") ? "true" : "false");
  return row;
}

/// The rows of all four kinds.
struct Rows {
  std::vector<RowFields> images, containers, volumes, builds;
};

Rows all_rows(const Usage& usage, Truncate truncate) {
  Rows rows;
  Timestamp time = now();
  for (const Json& image : usage.images) {
    auto names = image_names(image, Digests::Hide);
    if (names.empty()) continue;
    names.front().digest.clear();
    rows.images.push_back(image_row(image, names.front(), truncate, time));
  }
  for (Json container : usage.containers) {
    container["SizeRootFs"] = 0;
    rows.containers.push_back(container_row(container, truncate, time));
  }
  for (const Json& volume : usage.volumes) rows.volumes.push_back(volume_row(volume));
  for (const Json& build : usage.builds) rows.builds.push_back(build_row(build, truncate, time));
  return rows;
}

Outcome<void> section(Context& context, std::string_view title, std::string_view format,
                      const Headings& headings, std::vector<RowFields> rows) {
  context.out.write(title);
  TRY(Listing listing, Listing::create(std::string(format), headings, "*formatter.diskUsageContext"));
  for (RowFields& row : rows) CHECK(listing.add(std::move(row)));
  context.out.write(listing.text());
  return {};
}

Outcome<int> verbose_tables(Context& context, const Usage& usage) {
  Rows rows = all_rows(usage, Truncate::Yes);
  CHECK(section(context, "Images space usage:\n\n",
                "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t"
                "{{.UniqueSize}}\t{{.Containers}}",
                image_headings, std::move(rows.images)));
  CHECK(section(
      context, "\nContainers space usage:\n\n",
      "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t"
      "{{.Names}}",
      container_headings, std::move(rows.containers)));
  CHECK(section(context, "\nLocal Volumes space usage:\n\n", "table {{.Name}}\t{{.Links}}\t{{.Size}}",
                volume_headings, std::move(rows.volumes)));
  std::string title =
      fmt::format("\nBuild cache usage: {}\n\n", human_size(static_cast<double>(usage.build_bytes)));
  CHECK(section(
      context, title,
      "table {{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t"
      "{{.Shared}}",
      build_headings, std::move(rows.builds)));
  return 0;
}

Outcome<int> verbose_template(Context& context, const Usage& usage, const std::string& format) {
  auto parsed = gotemplate::Template::parse(format == "json" ? "{{json .}}" : format);
  if (!parsed) return refuse("template parsing error: {}", parsed.error().message());
  Rows rows = all_rows(usage, Truncate::No);
  gotemplate::Object root{gotemplate::Shape::Struct, "*formatter.diskUsageContext", {}};
  for (auto [name, list] : {std::pair{"Images", &rows.images},
                            {"Containers", &rows.containers},
                            {"Volumes", &rows.volumes},
                            {"BuildCache", &rows.builds}}) {
    gotemplate::List values;
    for (RowFields& row : *list)
      values.emplace_back(gotemplate::Object{gotemplate::Shape::Row, "", std::move(row)});
    root.fields.emplace_back(name, std::move(values));
  }
  std::string text;
  auto done = parsed->execute(text, gotemplate::Value(std::move(root)));
  context.out.write(text);
  if (!done) return refuse("template parsing error: {}", done.error().message());
  if (format == "json" || format == "{{json .}}") context.out.line("");
  return 0;
}

Outcome<int> disk_usage(Context& context, const Invocation& invocation) {
  TRY(Usage usage, ask(context));
  std::string format = invocation.text("format");
  bool table = format.empty() || format == "table";
  if (invocation.on("verbose")) {
    return table ? verbose_tables(context, usage) : verbose_template(context, usage, format);
  }
  if (table) format = "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";
  if (format == "raw") {
    format =
        "type: {{.Type}}\ntotal: {{.TotalCount}}\nactive: {{.Active}}\nsize: {{.Size}}\n"
        "reclaimable: {{.Reclaimable}}\n";
  }
  TRY(int code, summary(context, usage, format));
  if (table && usage.quota > 0) {
    context.out.print("\nStorage quota: images take {} of {} on the disk\n",
                      human_size(static_cast<double>(usage.quota_used)),
                      human_size(static_cast<double>(usage.quota)));
  } else if (table && usage.on_disk > 0) {
    context.out.print("\nImages take {} on the disk, with what is kept compressed and downloads under way\n",
                      human_size(static_cast<double>(usage.on_disk)));
  }
  return code;
}

constexpr std::array flags{
    Flag{.name = "format", .type = Type::String, .help = list_format_help},
    Flag{'v', "verbose", Type::Bool, "Show each image, container, volume and cache entry"},
};

}  // namespace

const Command disk_usage_command{
    .usage = "[OPTIONS]", .summary = "Show what takes how much disk", .flags = flags, .action = disk_usage};

}  // namespace berth::cli::commands
