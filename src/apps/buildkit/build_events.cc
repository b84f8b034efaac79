#include "apps/buildkit/build_events.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::buildkit {
namespace {

/// Documents of a cache come in one.
constexpr size_t max_line = size_t{16} << 20;
constexpr size_t max_materials = 1024;

}  // namespace

Result<void> BuildEvents::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    size_t end = bytes.find('\n');
    if (line_.size() + std::min(end, bytes.size()) > max_line)
      return Error(Kind::Exhausted, "the engine's line is too long");
    line_.append(bytes.substr(0, end));
    if (end == bytes.npos) return {};
    bytes.remove_prefix(end + 1);
    CHECK(take(std::exchange(line_, {})));
  }
  return {};
}

Result<void> BuildEvents::take(std::string_view line) {
  while (line.ends_with('\r')) line.remove_suffix(1);
  if (line.empty()) return {};
  TRY(Json event, parse_json(line));
  TRY(error_, json_string(event, "error", error_));
  TRY(std::string kind, json_string(event, "event"));
  TRY(int64_t step, json_int(event, "step"));
  if (kind == "step") return begin(event, step);
  if (kind == "task" || kind == "task_done") return task(event, kind == "task");
  if (kind == "image") return resolved(event);
  if (kind == "want" || kind == "cache")
    return serve_ ? serve_(event) : Result<void>(Error(Kind::Internal, "the engine asks for a cache"));
  std::string& vertex = vertices_[step];
  if (kind == "cached") {
    progress_.mark_cached(vertex);
  } else if (kind == "log") {
    TRY(int64_t stream, json_int(event, "stream"));
    TRY(std::string encoded, json_string(event, "bytes"));
    if (auto text = from_base64(encoded); text && !vertex.empty())
      progress_.log(vertex, static_cast<int>(stream), std::move(*text));
  } else if (kind == "transfer") {
    return transfer(event, vertex);
  } else if (kind == "done") {
    progress_.complete(vertex);
  } else if (kind == "warning") {
    return warn(event);
  } else if (kind == "built") {
    TRY(image_, json_string(event, "id"));
  } else if (kind == "failed") {
    return fail(event);
  }
  return {};
}

Result<void> BuildEvents::warn(const Json& event) {
  Progress::Warning warning;
  TRY(warning.text, json_string(event, "text"));
  TRY(warning.detail, json_string(event, "description"));
  TRY(warning.url, json_string(event, "url"));
  TRY(int64_t first, json_int(event, "line"));
  TRY(int64_t last, json_int(event, "last_line"));
  warning.first_line = static_cast<int>(first);
  warning.last_line = static_cast<int>(last);
  if (last_.empty()) last_ = progress_.begin("[internal] checking the Dockerfile");
  progress_.warn(last_, warning);
  return {};
}

Result<void> BuildEvents::begin(const Json& event, int64_t step) {
  TRY(std::string stage, json_string(event, "stage"));
  TRY(std::string instruction, json_string(event, "instruction"));
  TRY(int64_t total, json_int(event, "total"));
  bool numbered =
      !stage.empty() && std::all_of(stage.begin(), stage.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (numbered) stage = "stage-" + stage;
  std::string place = naming_.several_stages && !stage.empty() ? stage + " " : std::string();
  if (!naming_.platform.empty()) place = naming_.platform + " " + place;
  std::replace(instruction.begin(), instruction.end(), '\n', ' ');
  last_ = progress_.begin(fmt::format("[{}{}/{}] {}", place, step, total, instruction), last_);
  vertices_[step] = last_;
  return {};
}

/// Work that is no step: with caches.
Result<void> BuildEvents::task(const Json& event, bool begins) {
  TRY(std::string name, json_string(event, "name"));
  TRY(std::string reason, json_string(event, "reason"));
  if (begins) {
    tasks_[name] = progress_.begin(name);
  } else {
    progress_.complete(tasks_[name], reason);
  }
  return {};
}

Result<void> BuildEvents::transfer(const Json& event, const std::string& vertex) {
  TRY(std::string what, json_string(event, "what"));
  TRY(int64_t current, json_int(event, "current"));
  TRY(int64_t total, json_int(event, "total"));
  std::string at = vertex.empty() ? last_ : vertex;
  if (!at.empty()) progress_.status(at, what, current, total, total > 0 && current >= total);
  return {};
}

Result<void> BuildEvents::fail(const Json& event) {
  TRY(std::string message, json_string(event, "message"));
  TRY(std::string excerpt, json_string(event, "excerpt"));
  if (last_.empty()) return {};
  if (!excerpt.empty()) progress_.log(last_, 2, excerpt);
  progress_.complete(last_, failure_words(message));
  return {};
}

Result<void> BuildEvents::resolved(const Json& event) {
  Material material;
  TRY(material.reference, json_string(event, "reference"));
  TRY(material.platform, json_string(event, "platform"));
  TRY(material.digest, json_string(event, "digest"));
  if (material.digest.empty()) {
    TRY(material.digest, json_string(event, "id"));
  }
  if (materials_.size() < max_materials) materials_.push_back(std::move(material));
  return {};
}

std::string failure_words(const std::string& message) {
  constexpr std::string_view begin = "The command '";
  constexpr std::string_view middle = "' returned a non-zero code: ";
  size_t at = message.find(begin);
  size_t end = message.rfind(middle);
  if (at == message.npos || end == message.npos || end < at + begin.size()) return message;
  std::string command = message.substr(at + begin.size(), end - at - begin.size());
  return fmt::format("process \"{}\" did not complete successfully: exit code: {}", command,
                     message.substr(end + middle.size()));
}

}  // namespace berth::buildkit
