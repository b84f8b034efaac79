// Streams of progress messages.
#include "apps/berth/output/progress.h"

#include <algorithm>

#include "apps/berth/output/units.h"
#include "base/json.h"

namespace berth::cli::output {
namespace {

constexpr size_t max_message = 16u << 20;

std::string text(const Json& object, std::string_view key) {
  return json_string(object, key).value_or("");
}
int64_t number(const Json& object, std::string_view key) {
  return json_int(object, key).value_or(0);
}

/// Escape sequences of an engine or a build must not drive the terminal from inside a status line.
std::string one_line(std::string_view status) {
  std::string line = printable(status);
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

}  // namespace

Outcome<void> JsonCutter::feed(std::string_view bytes,
                               const std::function<Outcome<void>(std::string_view)>& consume) {
  pending_.append(bytes);
  size_t start = 0;
  while (scanned_ < pending_.size()) {
    char c = pending_[scanned_++];
    if (depth_ == 0) {
      if (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
        start = scanned_;
        continue;
      }
      if (c != '{')
        return refuse("invalid character '{}' in the engine's stream of messages", printable({&c, 1}));
      start = scanned_ - 1;
      depth_ = 1;
      continue;
    }
    if (in_string_) {
      if (!escaped_ && c == '"') in_string_ = false;
      escaped_ = !escaped_ && c == '\\';
      continue;
    }
    if (c == '"') in_string_ = true;
    if (c == '{' || c == '[') ++depth_;
    if ((c == '}' || c == ']') && --depth_ == 0) {
      CHECK(consume(std::string_view(pending_).substr(start, scanned_ - start)));
      start = scanned_;
    }
  }
  pending_.erase(0, start);
  scanned_ -= start;
  if (pending_.size() > max_message)
    return refuse("a message of the engine is larger than {} bytes", max_message);
  return {};
}

std::string progress_bar(int64_t current, int64_t total, unsigned columns) {
  std::string sizes = human_size(static_cast<double>(current));
  if (total > 0) sizes = fmt::format("{}/{}", sizes, human_size(static_cast<double>(total)));
  if (total <= 0 || current > total || columns < 60) return sizes;
  int width = std::min(50, static_cast<int>(columns) - 60 + 20);
  auto filled = static_cast<int>(static_cast<double>(current) / static_cast<double>(total) * width);
  std::string bar(static_cast<size_t>(filled), '=');
  if (filled < width) bar += '>';
  return fmt::format("[{:<{}}]  {}", bar, width, sizes);
}

Progress::Progress(Stream& out, Quiet quiet, Aux aux)
    : out_(out), quiet_(quiet), aux_(std::move(aux)), terminal_(out.is_terminal()), columns_(out.columns()) {
  if (columns_ == 0) columns_ = 80;
}

Outcome<void> Progress::feed(std::string_view bytes) {
  CHECK(cutter_.feed(bytes, [this](std::string_view one) { return message(one); }));
  out_.flush();  // whoever reads the pipe wants to see each line as it comes
  return {};
}

Outcome<void> Progress::finish() {
  out_.flush();
  if (!cutter_.empty()) return refuse("unexpected EOF: the engine's answer ends in the middle of a message");
  return {};
}

Outcome<void> Progress::message(std::string_view text_of_message) {
  TRY(Json json, parse_json(text_of_message));
  if (auto error = json.find("error"); error != json.end() && error->is_string()) {
    std::string words = error->get<std::string>();
    Failure failure = Failure::plain(words);
    if (auto detail = json.find("errorDetail"); detail != json.end()) {
      if (std::string longer = text(*detail, "message"); !longer.empty()) failure.message = longer;
      // What a build step ended with becomes the exit code of `berth build`.
      if (int64_t code = number(*detail, "code"); code > 0 && code < 256)
        failure.exit_code = static_cast<int>(code);
    }
    return failure;
  }
  if (auto aux = json.find("aux"); aux != json.end()) {
    if (aux_) aux_(*aux);
    return {};
  }
  if (quiet_ == Quiet::No) show(json);
  return {};
}

std::string Progress::progress_text(const Json& json, const std::string& id) {
  auto detail = json.find("progressDetail");
  if (detail == json.end() || !detail->is_object()) return text(json, "progress");
  int64_t current = number(*detail, "current");
  int64_t total = number(*detail, "total");
  if (current <= 0 && total <= 0) return {};
  if (!text(*detail, "units").empty()) return fmt::format("{}/{} {}", current, total, text(*detail, "units"));
  std::string bar = progress_bar(current, total, columns_);
  auto now = std::chrono::steady_clock::now();
  auto [transfer, fresh] = transfers_.try_emplace(id + text(json, "status"), Transfer{now, current});
  double seconds = std::chrono::duration<double>(now - transfer->second.start).count();
  double rate = seconds > 0 ? static_cast<double>(current - transfer->second.first) / seconds : 0;
  if (seconds > 1 && rate > 0 && current < total && columns_ >= 100) {
    auto left = static_cast<int64_t>(static_cast<double>(total - current) / rate);
    bar += fmt::format("  {}/s", human_size(rate, 3));
    if (left > 0) bar += fmt::format("  {}s left", left);
  }
  return bar;
}

void Progress::show(const Json& json) {
  if (std::string stream = text(json, "stream"); !stream.empty()) {
    rows_.clear();
    out_.write(stream);
    return;
  }
  std::string id = text(json, "id");
  std::string status = one_line(text(json, "status"));
  std::string progress = progress_text(json, id);
  if (!terminal_) {
    // Bars would fill a log with thousands of lines; the steps alone tell enough.
    if (progress.empty() && !status.empty())
      out_.line(id.empty() ? status : fmt::format("{}: {}", one_line(id), status));
    return;
  }
  std::string line = status + (progress.empty() ? "" : " " + progress);
  if (id.empty()) {
    rows_.clear();
    out_.line(line);
  } else {
    show_in_place(id, fmt::format("{}: {}", one_line(id), line));
  }
}

void Progress::show_in_place(const std::string& id, const std::string& line) {
  auto [row, fresh] = rows_.try_emplace(id, rows_.size());
  std::string fitted = ellipsis(line, columns_ - 1);
  if (fresh) {
    out_.line(fitted);
    return;
  }
  size_t up = rows_.size() - row->second;
  out_.print("\x1b[{}A\x1b[2K\r{}\n", up, fitted);
  if (up > 1) out_.print("\x1b[{}B", up - 1);
}

}  // namespace berth::cli::output
