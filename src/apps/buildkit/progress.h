// Progress: what a build tells its watchers, kept from the beginning so that one who comes late sees all of
// it.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <control.pb.h>

namespace berth::buildkit {

class Progress {
 public:
  /// `ref` is the build's; it makes the digests of its vertices its own.
  explicit Progress(std::string ref) : ref_(std::move(ref)) {}

  /// A vertex has begun; returns the digest that names it.
  std::string begin(const std::string& name, const std::string& after = {});
  void mark_cached(const std::string& vertex);
  /// Again: no effect. `error` empty: it succeeded.
  void complete(const std::string& vertex, const std::string& error = {});
  /// stream 1 is stdout, 2 stderr.
  void log(const std::string& vertex, int stream, std::string bytes);
  /// A part of a vertex: "transferring context". total 0: unknown.
  void status(const std::string& vertex, const std::string& id, int64_t current, int64_t total, bool done);
  struct Warning {
    std::string text;
    std::string detail = {};
    std::string url = {};
    int first_line = 0;  ///< of the source; 0: no place
    int last_line = 0;
  };
  void warn(const std::string& vertex, const Warning& warning);
  /// The file that warnings are about.
  void set_source(std::string name, std::string text);
  /// No more will come; what has not completed fails with `error`.
  void finish(const std::string& error = {});

  /// All of it so far.
  std::vector<moby::buildkit::v1::StatusResponse> messages() const;

  /// Waits for messages from number `at` on and gives them to `send`, until the build has ended, `send`
  /// returns false or `cancelled` does true.
  void watch(const std::function<bool(const moby::buildkit::v1::StatusResponse&)>& send,
             const std::function<bool()>& cancelled);

 private:
  void push(moby::buildkit::v1::StatusResponse message);

  std::string ref_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<moby::buildkit::v1::StatusResponse> messages_;
  std::map<std::string, moby::buildkit::v1::Vertex> vertices_;
  std::map<std::pair<std::string, std::string>, google::protobuf::Timestamp> status_begun_;
  std::string source_name_;
  std::string source_;
  size_t log_bytes_ = 0;
  bool finished_ = false;
};

}  // namespace berth::buildkit
