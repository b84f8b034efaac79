// Client: docker's Engine API over one endpoint. Requests go out in the newest version this program speaks;
// an older engine answers 400 and names its own, and the request is repeated in that. So the usual case needs
// no round trip for negotiation.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "apps/berth/client/connection.h"
#include "apps/berth/client/endpoint.h"
#include "apps/berth/client/http.h"
#include "apps/berth/failure.h"
#include "base/json_fwd.h"

namespace berth::cli::client {

/// The newest API version this program speaks.
inline constexpr std::string_view newest_version = "1.51";

struct Request {
  std::string_view method = "GET";
  std::string path;  ///< "/containers/json", percent-encoded, without version
  Query query = {};
  std::string body = {};
  Headers headers = {};
  std::string_view content_type = "application/json";  ///< sent when there is a body
};

struct Reply {
  ResponseHead head;
  std::string body;
};

/// Receives the body of a streamed answer piece by piece; a failure ends the transfer.
using Sink = std::function<Outcome<void>(std::string_view)>;

/// An answer whose head is there and whose body is read piece by piece.
class BodyReader {
 public:
  BodyReader(Connection connection, ResponseParser parser, std::string body)
      : connection_(std::move(connection)), parser_(std::move(parser)), body_(std::move(body)) {}

  const ResponseHead& head() const { return parser_.head(); }
  /// The next bytes, valid until the next call; empty at the end. Waits for them.
  Outcome<std::string_view> next();

 private:
  friend class Client;
  Connection connection_;
  ResponseParser parser_;
  std::string body_;
  bool handed_out_ = false;
};

/// Sends the body of a request in chunks. Whatever the engine answers meanwhile is passed on at once, so that
/// an engine that reports progress while it reads cannot block against a client that only writes.
class BodyWriter {
 public:
  BodyWriter(Connection& connection, const Sink& sink) : connection_(connection), sink_(sink) {}

  /// A Silent failure means that the engine reads no further; its answer says why.
  Outcome<void> write(std::string_view bytes);

 private:
  friend class Client;
  Outcome<void> push(std::string_view bytes);
  Outcome<void> pull(Connection::Wait wait);
  Outcome<void> finish();

  Connection& connection_;
  const Sink& sink_;
  ResponseParser parser_;
  std::string body_;
  bool refused_ = false;
};
/// Writes the whole body of a request.
using Producer = std::function<Outcome<void>(BodyWriter& body)>;

/// A connection that the engine has turned into a raw stream (attach, exec).
struct Upgraded {
  Connection connection;     ///< buffered() may already hold the first bytes of the stream
  bool multiplexed = false;  ///< the engine says that stdout and stderr come in frames
};

/// A request that has been sent and whose answer comes when it comes.
class Pending {
 public:
  Pending(Connection connection, Request request)
      : connection_(std::move(connection)), request_(std::move(request)) {}

  int fd() const { return connection_.fd(); }
  /// Takes what has arrived, without waiting. Body bytes are appended to body().
  Outcome<void> advance();
  /// Waits until the head of the answer is there.
  Outcome<void> wait_for_head();
  /// Waits for the whole answer; an error status is a Failure.
  Outcome<void> wait();
  bool head_done() const { return parser_.head_done(); }
  bool complete() const { return parser_.complete(); }
  const ResponseHead& head() const { return parser_.head(); }
  std::string& body() { return body_; }

 private:
  Outcome<void> take(Connection::Wait wait);

  Connection connection_;
  Request request_;
  ResponseParser parser_;
  std::string body_;
};

/// Opens a connection to the engine; the way to start an engine that does not run hides behind it.
using Connector = std::function<Outcome<Connection>()>;

class Client {
 public:
  Client(Connector connector, Headers headers);

  /// One request with its whole answer (at most 256 MiB). Status 400 and above is a Failure.
  Outcome<Reply> call(const Request& request);
  /// The answer's body goes to `sink` as it arrives.
  Outcome<ResponseHead> stream(const Request& request, const Sink& sink);
  /// The answer piece by piece, at the caller's pace.
  Outcome<BodyReader> open_answer(const Request& request);
  /// The request's body comes from `produce`, chunked; the engine may answer while it is still being sent.
  Outcome<ResponseHead> upload(const Request& request, const Producer& produce, const Sink& sink);
  /// Asks for a raw stream (101 or, from old engines, 200 without length).
  Outcome<Upgraded> upgrade(const Request& request);
  /// Sends a request on a connection of its own and returns at once.
  Outcome<Pending> begin(Request request);
  /// A raw connection that nothing has been sent on.
  Outcome<Connection> open() { return connector_(); }

  /// "1.51", or what an older engine speaks; settled after the first answer.
  const std::string& version() const { return version_; }
  /// Makes version() final with one HEAD /_ping, if no answer has come yet.
  Outcome<void> negotiate();
  /// True when the engine speaks at least this version ("1.42").
  bool speaks(std::string_view version) const;

 private:
  Outcome<Connection> idle_or_new(bool& reused);
  void keep(BodyReader& reader);
  bool adopt_older_version(const ResponseHead& head, const Failure& failure);
  std::string target(const Request& request) const;
  std::string head_of(const Request& request, Framing framing) const;
  void note_version(const ResponseHead& head);

  Connector connector_;
  Headers headers_;
  std::string version_{newest_version};
  bool settled_ = false;
  Connection idle_;
};

/// "/containers/<encoded id>/json": the id is encoded as one segment.
std::string path_of(std::string_view collection, std::string_view id, std::string_view action = {});
/// The same for image names, whose slashes and colons stay as they are.
std::string image_path(std::string_view name, std::string_view action = {});

/// The Failure that an error answer stands for: its JSON "message", else its text.
Failure failure_of(const ResponseHead& head, std::string_view body, std::string_view path);
/// Compares "1.9" and "1.41" as numbers: negative, zero or positive.
int compare_versions(std::string_view left, std::string_view right);

}  // namespace berth::cli::client
