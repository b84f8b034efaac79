// ObservedExchange: an exchange that remembers what was answered, for the audit log and the counters, and
// that lets a gate look at each answer before it goes out (authorization plugins). A body that was read ahead
// for the gate is handed to the handler from memory.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "io/http_server.h"

namespace berth::api {

class ObservedExchange final : public io::Exchange {
 public:
  explicit ObservedExchange(io::Exchange& inner) : inner_(inner) {}

  /// The status that was sent; 0: none yet. A hijacked connection counts as 101.
  int status() const { return status_; }
  /// Reads the whole body now; the handler gets it from memory. InvalidArgument when longer than `limit`.
  io::Task<Result<void>> read_ahead(size_t limit);
  const std::string& read_body_text() const { return *ahead_; }
  bool has_read_ahead() const { return ahead_.has_value(); }

  struct Answer {
    int status = 0;
    std::string_view content_type;
    std::string_view body;  ///< empty for answers that are streamed
  };
  /// Asked before an answer's first byte; an error is sent in the answer's place (403).
  using Gate = std::function<io::Task<Result<void>>(Answer)>;
  void set_gate(Gate gate) { gate_ = std::move(gate); }

  const io::HttpRequestHead& request() const override { return inner_.request(); }
  io::Task<Result<size_t>> read_some(std::span<char> buffer) override;
  io::CancelToken client_gone() const override { return inner_.client_gone(); }
  std::optional<ucred> peer() const override { return inner_.peer(); }
  void set_header(std::string_view name, std::string_view value) override { inner_.set_header(name, value); }
  io::Task<Result<void>> respond(int status, std::string_view content_type, std::string_view body) override;
  io::Task<Result<void>> begin(int status, std::string_view content_type) override;
  io::Task<Result<void>> begin_sized(int status, std::string_view content_type, uint64_t length) override;
  io::Task<Result<void>> write(std::string_view bytes) override { return inner_.write(bytes); }
  io::Task<Result<void>> finish() override { return inner_.finish(); }
  bool begun() const override { return inner_.begun(); }
  void abort() override { inner_.abort(); }
  io::Task<Result<io::HijackedSocket>> hijack(std::string_view content_type) override;
  io::Task<Result<io::HijackedSocket>> hijack_silently() override;

 private:
  /// Whether the answer may go out; else the refusal has been sent and is returned.
  io::Task<Result<void>> pass(Answer answer);

  io::Exchange& inner_;
  Gate gate_;
  int status_ = 0;
  std::optional<std::string> ahead_;
  size_t ahead_used_ = 0;
};

}  // namespace berth::api
