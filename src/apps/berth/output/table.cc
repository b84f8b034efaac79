// Elastic columns.
#include "apps/berth/output/table.h"

#include <algorithm>
#include <vector>

#include "apps/berth/output/units.h"

namespace berth::cli::output {
namespace {

struct Row {
  std::vector<std::string_view> cells;  ///< the last one is not followed by a tab
  std::vector<size_t> widths;           ///< padded width of all cells but the last
};

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

/// Gives every run of rows that reach past `column` a common width there.
void size_column(std::vector<Row>& rows, size_t column, const TableLayout& layout) {
  for (size_t first = 0; first < rows.size();) {
    if (rows[first].cells.size() <= column + 1) {
      ++first;
      continue;
    }
    size_t last = first;
    size_t width = layout.min_width;
    for (; last < rows.size() && rows[last].cells.size() > column + 1; ++last) {
      size_t cell = display_width(rows[last].cells[column]);
      width = std::max(width, cell + layout.padding);
    }
    for (; first < last; ++first) rows[first].widths.push_back(width);
  }
}

}  // namespace

std::string align_columns(std::string_view text, const TableLayout& layout) {
  std::vector<Row> rows;
  size_t columns = 0;
  for (std::string_view line : split(text, '\n')) {
    rows.push_back({split(line, '\t'), {}});
    columns = std::max(columns, rows.back().cells.size());
  }
  for (size_t column = 0; column + 1 < columns; ++column) size_column(rows, column, layout);

  std::string result;
  result.reserve(text.size() * 2);
  for (size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    for (size_t cell = 0; cell < row.cells.size(); ++cell) {
      result.append(row.cells[cell]);
      if (cell < row.widths.size()) result.append(row.widths[cell] - display_width(row.cells[cell]), ' ');
    }
    if (i + 1 < rows.size()) result.push_back('\n');
  }
  return result;
}

}  // namespace berth::cli::output
