// Listing: the lines of `ps`, `images`, ...: --format as docker understands it (table, json, a template, or
// "table TEMPLATE"), with headers and aligned columns.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "apps/berth/context.h"
#include "apps/berth/gotemplate/template.h"

namespace berth::cli::commands {

/// Header of each field, in the order of the documentation: {"ID", "CONTAINER ID"}.
using Headings = std::vector<std::pair<std::string_view, std::string_view>>;

/// The fields of one line. A field whose value is a Method is callable (.Label "x").
using RowFields = std::vector<std::pair<std::string, gotemplate::Value>>;

class Listing {
 public:
  /// `format` is the user's or the command's default ("table {{.ID}}\t..."). `type_name` is named when a
  /// template asks for an unknown field.
  static Outcome<Listing> create(std::string format, Headings headings, std::string_view type_name);

  bool is_table() const { return table_; }
  /// True when the template uses the field (whether `ps` must ask for sizes).
  bool mentions(std::string_view field) const { return template_.mentions(field); }

  Outcome<void> add(RowFields fields);
  /// The finished text: with header and columns for a table.
  std::string text();

 private:
  Listing(gotemplate::Template parsed, Headings headings, std::string_view type_name, bool table)
      : template_(std::move(parsed)), headings_(std::move(headings)), type_name_(type_name), table_(table) {}

  gotemplate::Template template_;
  Headings headings_;
  std::string type_name_;
  bool table_;
  std::string rows_;
};

/// Which format a listing has: the flag, else the configuration's for `name`, else `table` itself; "raw" and
/// "table" stand for the texts given.
struct ListFormats {
  std::string_view table;
  std::string_view raw = {};
  std::string_view quiet = "{{.ID}}";
  std::string_view raw_quiet = {};
};
std::string choose_format(Context& context, const grammar::Invocation& invocation,
                          std::string_view configured_name, const ListFormats& formats);

/// `.Label "name"`: the label's value, or "".
gotemplate::Method label_method(std::vector<std::pair<std::string, std::string>> labels);

/// The --format flag of listings and of inspecting commands.
inline constexpr std::string_view list_format_help =
    "Shape of the output:\n"
    "'table':            Columns with headers (default)\n"
    "'table TEMPLATE':   Columns with headers, by a Go template\n"
    "'json':             One JSON object per line\n"
    "'TEMPLATE':         Lines by a Go template";
inline constexpr std::string_view inspect_format_help =
    "Shape of the output:\n"
    "'json':             JSON on one line\n"
    "'TEMPLATE':         Text by a Go template";

}  // namespace berth::cli::commands
