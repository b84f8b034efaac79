#include "api/s3/xml.h"

#include <utility>

#include "base/format.h"

namespace berth::api::s3 {
namespace {

/// In one pass, so that what an entity stands for is not read again.
std::string resolve_entities(std::string_view raw) {
  constexpr std::pair<std::string_view, char> entities[] = {
      {"&lt;", '<'},   {"&gt;", '>'},   {"&quot;", '"'}, {"&#34;", '"'}, {"&apos;", '\''},
      {"&#39;", '\''}, {"&#13;", '\r'}, {"&#10;", '\n'}, {"&amp;", '&'}};
  std::string text;
  while (!raw.empty()) {
    bool resolved = false;
    for (const auto& [entity, plain] : entities) {
      if (!raw.starts_with(entity)) continue;
      text += plain;
      raw.remove_prefix(entity.size());
      resolved = true;
      break;
    }
    if (resolved) continue;
    text += raw.front();
    raw.remove_prefix(1);
  }
  return text;
}

}  // namespace

std::vector<std::string_view> blocks(std::string_view xml, std::string_view name) {
  std::vector<std::string_view> found;
  std::string open = fmt::format("<{}", name), close = fmt::format("</{}>", name);
  size_t at = xml.find(open);
  while (at != std::string_view::npos) {
    at += open.size();
    size_t tag = xml.find('>', at);
    if (tag == std::string_view::npos) break;
    bool whole_name = xml[at] == '>' || xml[at] == ' ' || xml[at] == '/';
    bool empty = whole_name && xml[tag - 1] == '/';
    if (whole_name && !empty) {
      size_t end = xml.find(close, tag);
      if (end == std::string_view::npos) break;
      found.push_back(xml.substr(tag + 1, end - tag - 1));
      at = end;
    } else if (empty) {
      found.emplace_back();
    }
    at = xml.find(open, at);
  }
  return found;
}

std::vector<std::string> elements(std::string_view xml, std::string_view name) {
  std::vector<std::string> texts;
  for (std::string_view block : blocks(xml, name)) texts.push_back(resolve_entities(block));
  return texts;
}

std::string first_element(std::string_view xml, std::string_view name) {
  auto found = blocks(xml, name);
  return found.empty() ? std::string() : resolve_entities(found.front());
}

}  // namespace berth::api::s3
