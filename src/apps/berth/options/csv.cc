// Comma-separated fields.
#include "apps/berth/options/csv.h"

#include "base/format.h"

namespace berth::cli::options {

Result<std::vector<std::string>> split_csv(std::string_view line) {
  std::vector<std::string> fields;
  if (line.empty()) return failure(Kind::InvalidArgument, "EOF");
  for (size_t at = 0;;) {
    std::string field;
    if (at < line.size() && line[at] == '"') {
      for (++at;; ++at) {
        if (at >= line.size()) {
          return failure(Kind::InvalidArgument,
                         "parse error on line 1, column {}: extraneous or missing \" in quoted-field",
                         at + 1);
        }
        if (line[at] != '"') {
          field += line[at];
        } else if (at + 1 < line.size() && line[at + 1] == '"') {
          field += '"';
          ++at;
        } else {
          ++at;
          break;
        }
      }
      if (at < line.size() && line[at] != ',') {
        return failure(Kind::InvalidArgument,
                       "parse error on line 1, column {}: extraneous or missing \" in quoted-field", at + 1);
      }
    } else {
      size_t end = std::min(line.find(',', at), line.size());
      field = line.substr(at, end - at);
      if (size_t quote = field.find('"'); quote != std::string::npos) {
        return failure(Kind::InvalidArgument, "parse error on line 1, column {}: bare \" in non-quoted-field",
                       at + quote + 1);
      }
      at = end;
    }
    fields.push_back(std::move(field));
    if (at >= line.size()) return fields;
    ++at;  // the comma
    if (at == line.size()) {
      fields.emplace_back();
      return fields;
    }
  }
}

}  // namespace berth::cli::options
