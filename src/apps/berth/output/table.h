// Elastic columns: text whose cells are separated by tabs and rows by newlines is padded so that cells stand
// under each other, as Go's text/tabwriter does for docker's tables. Pure.
#pragma once

#include <string>
#include <string_view>

namespace berth::cli::output {

struct TableLayout {
  size_t min_width = 10;
  size_t padding = 3;
};

/// A column is a run of consecutive rows that have a tab after that cell; its width is its widest cell plus
/// the padding, at least min_width. The last cell of a row is never padded.
std::string align_columns(std::string_view text, const TableLayout& layout = {});

}  // namespace berth::cli::output
