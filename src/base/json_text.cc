#include "base/json_text.h"

#include <algorithm>

#include "base/json.h"

namespace berth {

void append_json_string(std::string& out, std::string_view text) {
  bool plain = std::all_of(text.begin(), text.end(),
                           [](unsigned char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; });
  if (!plain) {
    out += to_json(Json(text));
    return;
  }
  out.push_back('"');
  out += text;
  out.push_back('"');
}

}  // namespace berth
