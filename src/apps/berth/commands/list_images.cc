// images, history.
#include <algorithm>
#include <array>

#include "apps/berth/commands/commands.h"
#include "apps/berth/commands/image_rows.h"
#include "apps/berth/commands/platform.h"
#include "apps/berth/commands/targets.h"
#include "apps/berth/grammar/invocation.h"
#include "apps/berth/options/filters.h"
#include "apps/berth/output/units.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

using grammar::Flag;
using grammar::Invocation;
using grammar::Type;
using grammar::Visibility;

constexpr std::string_view table =
    "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{if .CreatedSince "
    "}}{{.CreatedSince}}{{else}}N/A{{end}}\t{{.Size}}";
constexpr std::string_view digest_table =
    "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t"
    "{{if .CreatedSince }}{{.CreatedSince}}{{else}}N/A{{end}}\t{{.Size}}";
constexpr std::string_view raw =
    "repository: {{ .Repository }}\ntag: {{.Tag}}\nimage_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\n"
    "virtual_size: {{.Size}}\n";
constexpr std::string_view digest_raw =
    "repository: {{ .Repository }}\ntag: {{.Tag}}\ndigest: {{.Digest}}\nimage_id: {{.ID}}\n"
    "created_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n";

Outcome<int> list(Context& context, const Invocation& invocation) {
  bool digests = invocation.on("digests");
  std::string format = choose_format(context, invocation, "images",
                                     {.table = digests ? digest_table : table,
                                      .raw = digests ? digest_raw : raw,
                                      .raw_quiet = "image_id: {{.ID}}"});
  bool shows_digest = format.find("{{.Digest}}") != std::string::npos;
  if (format.starts_with("table") && digests && !shows_digest) format += "\t{{.Digest}}";
  TRY(Listing listing, Listing::create(format, image_headings, "*formatter.imageContext"));

  options::Filters filters = options::parse_filters(invocation.list("filter"));
  if (!invocation.arguments().empty()) filters.emplace_back("reference", invocation.argument(0));
  client::Query query;
  query.flag("all", invocation.on("all"))
      .flag("manifests", listing.mentions("Platforms"))
      .add_unless_empty("filters", options::filters_json(filters));
  TRY(auto reply, context.engine().call({.path = "/images/json", .query = query}));
  TRY(Json images, parse_json(reply.body, {.max_bytes = 256u << 20}));

  Truncate truncate = invocation.on("no-trunc") ? Truncate::No : Truncate::Yes;
  Timestamp time = now();
  for (const Json& image : images) {
    for (const ImageName& name :
         image_names(image, digests || shows_digest ? Digests::Show : Digests::Hide)) {
      CHECK(listing.add(image_row(image, name, truncate, time)));
    }
  }
  context.out.write(listing.text());
  return 0;
}

// ---- history ----

constexpr std::string_view history_table =
    "table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
constexpr std::string_view history_exact_table =
    "table {{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";

RowFields history_row(const Json& entry, Truncate truncate, bool human, Timestamp now) {
  bool cut = truncate == Truncate::Yes;
  int64_t seconds = json_int(entry, "Created").value_or(0);
  Timestamp time = from_unix_nanoseconds(seconds * 1'000'000'000);
  std::string id = json_string(entry, "Id").value_or("");
  std::string by = json_string(entry, "CreatedBy").value_or("");
  std::replace(by.begin(), by.end(), '\t', ' ');
  int64_t size = json_int(entry, "Size").value_or(0);
  bool never = seconds <= 0;
  RowFields row;
  row.emplace_back("ID", cut ? output::short_id(id) : id);
  row.emplace_back("CreatedAt", never ? std::string("N/A") : output::local_rfc3339_seconds(time));
  row.emplace_back("CreatedSince", never   ? std::string("N/A")
                                   : human ? output::time_ago(time, now)
                                           : output::local_rfc3339_seconds(time));
  row.emplace_back("CreatedBy", cut ? output::ellipsis(by, 45) : by);
  row.emplace_back("Size",
                   human ? output::human_size(static_cast<double>(size), 3) : fmt::format("{}", size));
  row.emplace_back("Comment", json_string(entry, "Comment").value_or(""));
  return row;
}

Outcome<int> history(Context& context, const Invocation& invocation) {
  CHECK(check_name(invocation.argument(0)));
  bool human = invocation.on("human");
  std::string format =
      choose_format(context, invocation, "history", {.table = human ? history_table : history_exact_table});
  const Headings headings{
      {"ID", "IMAGE"},  {"CreatedSince", "CREATED"}, {"CreatedAt", "CREATED AT"}, {"CreatedBy", "CREATED BY"},
      {"Size", "SIZE"}, {"Comment", "COMMENT"}};
  TRY(Listing listing, Listing::create(format, headings, "*image.historyContext"));
  TRY(std::string platform, platform_json(invocation.text("platform")));
  TRY(auto reply, context.engine().call({.path = client::image_path(invocation.argument(0), "history"),
                                         .query = client::Query().add_unless_empty("platform", platform)}));
  TRY(Json entries, parse_json(reply.body, {.max_bytes = 64u << 20}));
  Truncate truncate = invocation.on("no-trunc") ? Truncate::No : Truncate::Yes;
  Timestamp time = now();
  for (const Json& entry : entries) CHECK(listing.add(history_row(entry, truncate, human, time)));
  context.out.write(listing.text());
  return 0;
}

constexpr std::array list_flags{
    Flag{'a', "all", Type::Bool, "Show intermediate images too"},
    Flag{.name = "digests", .help = "Show digests"},
    Flag{'f', "filter", Type::Filter, "Show only images that meet the condition"},
    Flag{.name = "format", .type = Type::String, .help = list_format_help},
    Flag{.name = "no-trunc", .help = "Show ids in full"},
    Flag{'q', "quiet", Type::Bool, "Show only the images' ids"},
    Flag{.name = "tree", .visibility = Visibility::Hidden},
};
constexpr std::array history_flags{
    Flag{.name = "format", .type = Type::String, .help = list_format_help},
    Flag{'H', "human", Type::Bool, "Show sizes and times for people to read", "true"},
    Flag{.name = "no-trunc", .help = "Show ids and commands in full"},
    Flag{.name = "platform",
         .type = Type::String,
         .help = "Show this platform of a multi-platform image (os/arch)"},
    Flag{'q', "quiet", Type::Bool, "Show only ids"},
};

}  // namespace

const Command list_images_command{.usage = "[OPTIONS] [REPOSITORY[:TAG]]",
                                  .summary = "List images",
                                  .flags = list_flags,
                                  .arity = grammar::between(0, 1),
                                  .action = list};
const Command history_command{.usage = "[OPTIONS] IMAGE",
                              .summary = "Show how an image was made",
                              .flags = history_flags,
                              .arity = grammar::exactly(1),
                              .action = history};

}  // namespace berth::cli::commands
