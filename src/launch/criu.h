// Criu: the host's criu program, which dumps running processes to files and makes them again. It is optional,
// speaks criu_messages.h over a socket (`criu swrk`), and does its work as root: it trusts the images that it
// is given.
#pragma once

#include <sys/types.h>

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "launch/criu_messages.h"
#include "sys/fd.h"

namespace berth::launch {

/// One dump or restore.
struct CriuRequest {
  CriuAction action = CriuAction::Dump;
  CriuOptions options;
  std::array<int, 3> stdio = {-1, -1, -1};  ///< criu's own; -1: /dev/null
  std::vector<int> passed = {};             ///< become criu's descriptors kFirstPassed and up
  /// criu runs and has not been asked yet: what `options` still lacks can be filled in.
  std::function<Result<void>(pid_t criu, CriuOptions& options)> started = {};
  /// What criu tells on its way ("setup-namespaces", "post-restore", ...), and the descriptor that comes with
  /// it
  /// ("orphan-pts-master"). A failure is criu's failure too.
  std::function<Result<void>(const CriuAnswer& notification, sys::UniqueFd descriptor)> notified = {};
};

/// A criu that somebody else has started as `criu swrk`, and reaps.
struct StartedCriu {
  sys::UniqueFd socket;  ///< the other end of its own; whoever made the pair makes the request
  sys::UniqueFd pidfd;
  pid_t pid = 0;
};

class Criu {
 public:
  static constexpr int kFirstPassed = 4;

  /// `given`: a program's path or name; empty: what CRIU in the environment says, or "criu". Looked up in
  /// PATH where it is no path. Unsupported: there is none, it is too old, or its own check of this kernel
  /// fails; the text says which, and the way out.
  static Result<Criu> find(const std::string& given = {});

  const std::string& program() const { return program_; }
  /// 31701 for 3.17.1.
  int version() const { return version_; }
  /// Unsupported: this kernel does not say which pages a process has written to, or does not lend page
  /// faults.
  Result<void> require(bool memory_tracking, bool lazy_pages) const;

  /// Waits until it is done. What was restored: its pid, a child of this process. On failure the error has
  /// what criu says of it, and nothing of what it was to restore is left.
  Result<pid_t> run(CriuRequest& request) const;
  /// The same by one that runs already; its stdio and what is passed to it are its starter's affair. What is
  /// restored is the starter's child.
  Result<pid_t> run(CriuRequest& request, StartedCriu criu) const;

 private:
  Criu(std::string program, int version) : program_(std::move(program)), version_(version) {}
  Result<CriuAnswer> ask(std::string_view question) const;

  std::string program_;
  int version_ = 0;
};

/// What a log of criu's says of a failure: its errors without those that it goes on after, one per line and
/// at most three. Pure.
std::string criu_log_errors(std::string_view log);

}  // namespace berth::launch
