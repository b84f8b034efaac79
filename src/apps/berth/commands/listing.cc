// Lines by --format.
#include "apps/berth/commands/listing.h"

#include "apps/berth/grammar/invocation.h"
#include "apps/berth/output/table.h"

namespace berth::cli::commands {
namespace {

using gotemplate::Object;
using gotemplate::Shape;
using gotemplate::Value;

/// Shells pass \t and \n as two characters each.
std::string unescape(std::string_view format) {
  while (format.starts_with(' ')) format.remove_prefix(1);
  while (format.ends_with(' ')) format.remove_suffix(1);
  std::string text;
  for (size_t i = 0; i < format.size(); ++i) {
    bool escape =
        format[i] == '\\' && i + 1 < format.size() && (format[i + 1] == 't' || format[i + 1] == 'n');
    text += escape ? (format[i + 1] == 't' ? '\t' : '\n') : format[i];
    if (escape) ++i;
  }
  return text;
}

/// "com.example.some-label" heads its column as "some label".
std::string label_heading(std::string_view label) {
  std::string heading(label.substr(label.rfind('.') + 1));
  for (char& c : heading) {
    if (c == '-' || c == '_') c = ' ';
  }
  return heading;
}

gotemplate::Method heading_method() {
  return [](const std::vector<Value>& arguments) -> Result<Value> {
    if (arguments.size() != 1 || arguments[0].string() == nullptr) return Value("");
    return Value(label_heading(*arguments[0].string()));
  };
}

}  // namespace

Outcome<Listing> Listing::create(std::string format, Headings headings, std::string_view type_name) {
  bool table = format.starts_with("table");
  std::string source = format == "json" ? "{{json .}}" : unescape(table ? format.substr(5) : format);
  auto parsed = gotemplate::Template::parse(source);
  if (!parsed) return refuse("template parsing error: {}", parsed.error().message());
  return Listing(std::move(*parsed), std::move(headings), type_name, table);
}

Outcome<void> Listing::add(RowFields fields) {
  Object row{Shape::Row, type_name_, std::move(fields)};
  if (auto done = template_.execute(rows_, Value(std::move(row))); !done) {
    return refuse("template parsing error: {}", done.error().message());
  }
  rows_ += '\n';
  return {};
}

std::string Listing::text() {
  if (!table_) return std::move(rows_);
  Object header{Shape::Map, "", {}};
  for (const auto& [field, heading] : headings_)
    header.fields.emplace_back(std::string(field), Value(heading));
  header.fields.emplace_back("Label", Value(heading_method()));
  std::string text;
  // What a header cannot render (a range over a field, say) ends it early, as docker's does.
  (void)template_.execute(text, Value(std::move(header)), {.functions = gotemplate::FunctionSet::Header});
  return output::align_columns(text + "\n" + rows_);
}

std::string choose_format(Context& context, const grammar::Invocation& invocation,
                          std::string_view configured_name, const ListFormats& formats) {
  bool quiet = invocation.on("quiet");
  std::string format = invocation.text("format");
  if (format.empty() && !quiet) format = context.configuration().format_of(configured_name);
  if (format == "raw" && !formats.raw.empty()) return std::string(quiet ? formats.raw_quiet : formats.raw);
  if (quiet) return std::string(formats.quiet);
  if (format.empty() || format == "table") return std::string(formats.table);
  return format;
}

gotemplate::Method label_method(std::vector<std::pair<std::string, std::string>> labels) {
  return [labels = std::move(labels)](const std::vector<Value>& arguments) -> Result<Value> {
    if (arguments.size() != 1 || arguments[0].string() == nullptr) {
      return failure(Kind::InvalidArgument, "wrong number of args for Label: want 1 got {}",
                     arguments.size());
    }
    for (const auto& [name, value] : labels) {
      if (name == *arguments[0].string()) return Value(value);
    }
    return Value("");
  };
}

}  // namespace berth::cli::commands
