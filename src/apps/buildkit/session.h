// Session: what one client offers to the builds it asks for: its files, secrets, credentials, and places for
// results. The client is the gRPC server of this connection.
#pragma once

#include <grpcpp/channel.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "sys/fd.h"

namespace berth::buildkit {

/// Asked between steps of a long exchange: true ends it.
using Cancelled = std::function<bool()>;

struct Credentials {
  std::string username;
  std::string secret;
};

class Session {
 public:
  struct Introduction {
    std::string id;
    std::string name = {};
    std::set<std::string> methods =
        {};  ///< "/moby.filesync.v1.FileSync/DiffCopy", lower case; empty: not told
  };
  /// `socket` carries HTTP/2 with the client as its server.
  Session(Introduction introduction, sys::UniqueFd socket);

  const std::string& id() const { return introduction_.id; }
  /// Whether the client said that it serves this method.
  bool offers(std::string_view method) const;
  bool is_connected() const;
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

  /// NotFound: there is no such secret.
  Result<std::string> secret(const std::string& id) const;
  /// Nothing when the client has none for this registry.
  std::optional<Credentials> credentials(const std::string& host) const;
  /// The archive that a client offers under "http://buildkit-session/<name>", given piece by piece.
  Result<void> pull_upload(const std::string& path,
                           const std::function<Result<void>(std::string_view)>& write,
                           const Cancelled& cancelled) const;
  /// Sends one file (a tar) to where the client wants exporter number `exporter`'s result. `read` gives it
  /// piece by piece, empty at the end.
  Result<void> send_file(int exporter, const std::function<Result<std::string>()>& read) const;

 private:
  Introduction introduction_;
  std::shared_ptr<grpc::Channel> channel_;
};

class SessionTable {
 public:
  void add(std::shared_ptr<Session> session);
  void remove(const std::string& id, const Session* session);
  /// Waits for a session that may be just about to connect. NotFound after `patience`.
  Result<std::shared_ptr<Session>> find(const std::string& id, std::chrono::milliseconds patience);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::shared_ptr<Session>> sessions_;
};

/// A gRPC failure as an error: what was asked, and the client's words.
Error to_error(const std::string& what, int code, const std::string& message);

}  // namespace berth::buildkit
