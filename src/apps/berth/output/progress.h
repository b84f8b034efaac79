// Progress: the engine's stream of JSON messages (pull, push, load, import, build) shown to a person: bars
// that stay in place on a terminal, one plain line per step elsewhere.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "apps/berth/failure.h"
#include "apps/berth/output/stream.h"
#include "base/json_fwd.h"

namespace berth::cli::output {

/// Cuts a stream of JSON objects, separated by newlines or by nothing, into objects. Pure.
class JsonCutter {
 public:
  /// Calls `consume` for every object that is complete. An object of more than 16 MiB or text that cannot be
  /// JSON is an error.
  Outcome<void> feed(std::string_view bytes, const std::function<Outcome<void>(std::string_view)>& consume);
  bool empty() const { return pending_.empty(); }

 private:
  std::string pending_;
  size_t scanned_ = 0;
  int depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
};

class Progress {
 public:
  /// What a message with "aux" brings (the id of a built image).
  using Aux = std::function<void(const Json& aux)>;
  enum class Quiet { No, Yes };

  Progress(Stream& out, Quiet quiet = Quiet::No, Aux aux = {});

  /// Takes bytes of the stream in pieces of any size. A message that reports an error is returned as a
  /// Failure.
  Outcome<void> feed(std::string_view bytes);
  /// The stream has ended; an unfinished message is an error.
  Outcome<void> finish();

 private:
  Outcome<void> message(std::string_view text);
  void show(const Json& json);
  void show_in_place(const std::string& id, const std::string& line);
  std::string progress_text(const Json& json, const std::string& id);

  struct Transfer {
    std::chrono::steady_clock::time_point start;
    int64_t first = 0;
  };

  Stream& out_;
  Quiet quiet_;
  Aux aux_;
  bool terminal_;
  unsigned columns_;
  JsonCutter cutter_;
  std::map<std::string, size_t> rows_;  ///< line of each id, counted from the first
  std::map<std::string, Transfer> transfers_;
};

/// "[=====>    ]  1.2MB/3.4MB", fitted to `columns`. Pure.
std::string progress_bar(int64_t current, int64_t total, unsigned columns);

}  // namespace berth::cli::output
