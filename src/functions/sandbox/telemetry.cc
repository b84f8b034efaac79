// Subscriptions and their deliveries.
#include "functions/sandbox/telemetry.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <deque>

#include "base/clock.h"
#include "base/format.h"
#include "base/json.h"
#include "functions/sandbox/platform_log.h"
#include "io/cancel.h"

namespace berth::functions {
namespace {

using namespace std::chrono_literals;

constexpr size_t kMaxEarly = 256;
constexpr size_t kMaxKeptBytes = 4u << 20;  // per subscriber
constexpr size_t kMaxAnswer = 16u << 10;
constexpr auto kSendTime = 5s;
constexpr int kAttempts = 3;

Result<uint16_t> parse_port(std::string_view text) {
  uint16_t port = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0) {
    return failure(Kind::InvalidArgument, "destination: \"{}\" is no port", text.substr(0, 16));
  }
  return port;
}

/// http://sandbox.localdomain:8080/path; the name always means this sandbox.
Result<void> parse_uri(std::string_view uri, TelemetrySubscription& subscription) {
  constexpr std::string_view scheme = "http://";
  if (!uri.starts_with(scheme))
    return Error(Kind::InvalidArgument, "destination.URI must begin with http://");
  uri.remove_prefix(scheme.size());
  size_t slash = std::min(uri.find('/'), uri.size());
  std::string_view authority = uri.substr(0, slash);
  if (slash < uri.size()) subscription.path = uri.substr(slash);
  bool plain = std::none_of(subscription.path.begin(), subscription.path.end(),
                            [](unsigned char c) { return c <= ' ' || c == 0x7f; });
  size_t colon = authority.rfind(':');
  std::string_view host = authority.substr(0, colon);
  bool local =
      host == "sandbox.localdomain" || host == "sandbox" || host == "localhost" || host == "127.0.0.1";
  if (!local || !plain || colon == authority.npos) {
    return Error(Kind::InvalidArgument, "destination.URI must be http://sandbox.localdomain:PORT/...");
  }
  TRY(subscription.port, parse_port(authority.substr(colon + 1)));
  return {};
}

Result<void> parse_buffering(const Json& document, TelemetrySubscription& subscription) {
  const Json* buffering = json_member(document, "buffering");
  if (buffering == nullptr) return {};
  TRY(int64_t items, json_int(*buffering, "maxItems", 10'000));
  TRY(int64_t bytes, json_int(*buffering, "maxBytes", 256 << 10));
  TRY(int64_t timeout, json_int(*buffering, "timeoutMs", 1000));
  bool sound = items >= 1000 && items <= 10'000 && bytes >= (256 << 10) && bytes <= (1 << 20) &&
               timeout >= 25 && timeout <= 30'000;
  if (!sound) {
    return Error(Kind::InvalidArgument,
                 "buffering: maxItems 1000 to 10000, maxBytes 262144 to 1048576, timeoutMs 25 to 30000");
  }
  subscription.max_items = static_cast<size_t>(items);
  subscription.max_bytes = static_cast<size_t>(bytes);
  subscription.timeout = std::chrono::milliseconds(timeout);
  return {};
}

}  // namespace

std::vector<std::string> telemetry_type_names(uint8_t types) {
  std::vector<std::string> names;
  if (types & static_cast<uint8_t>(TelemetryType::Platform)) names.emplace_back("platform");
  if (types & static_cast<uint8_t>(TelemetryType::Function)) names.emplace_back("function");
  if (types & static_cast<uint8_t>(TelemetryType::Extension)) names.emplace_back("extension");
  return names;
}

Result<TelemetrySubscription> parse_telemetry_subscription(std::string_view body) {
  TRY(Json document, parse_json(body, {.max_bytes = 64 << 10, .max_depth = 8}));
  TelemetrySubscription subscription;
  TRY(auto types, json_strings(document, "types"));
  for (const std::string& type : types) {
    TelemetryType bit;
    if (type == "platform") {
      bit = TelemetryType::Platform;
    } else if (type == "function") {
      bit = TelemetryType::Function;
    } else if (type == "extension") {
      bit = TelemetryType::Extension;
    } else {
      return failure(Kind::InvalidArgument, "types: \"{}\" is none of platform, function, extension",
                     std::string_view(type).substr(0, 64));
    }
    subscription.types |= static_cast<uint8_t>(bit);
  }
  if (subscription.types == 0) return Error(Kind::InvalidArgument, "types: at least one is needed");
  const Json* destination = json_member(document, "destination");
  if (destination == nullptr) return Error(Kind::InvalidArgument, "destination is missing");
  TRY(std::string protocol, json_string(*destination, "protocol", "HTTP"));
  if (protocol == "TCP") {
    subscription.tcp = true;
    TRY(int64_t port, json_int(*destination, "port"));
    if (port < 1 || port > 65535) return Error(Kind::InvalidArgument, "destination.port: 1 to 65535");
    subscription.port = static_cast<uint16_t>(port);
  } else if (protocol == "HTTP") {
    TRY(std::string uri, json_string(*destination, "URI"));
    CHECK(parse_uri(uri, subscription));
  } else {
    return Error(Kind::InvalidArgument, "destination.protocol must be HTTP or TCP");
  }
  CHECK(parse_buffering(document, subscription));
  return subscription;
}

struct TelemetryFeed::Subscriber {
  TelemetrySubscription subscription;
  std::deque<std::string> documents;
  size_t bytes = 0;
  uint64_t dropped = 0;
  bool replaced = false;
  io::Condition more;

  void add(const std::string& document) {
    if (bytes + document.size() > kMaxKeptBytes) {
      ++dropped;
      return;
    }
    bytes += document.size();
    documents.push_back(document);
    more.notify_all();
  }
  bool is_full() const {
    return documents.size() >= subscription.max_items || bytes >= subscription.max_bytes;
  }
};

TelemetryFeed::TelemetryFeed(io::EventLoop& loop, MakeSocket make_socket)
    : loop_(loop), make_socket_(std::move(make_socket)) {}
TelemetryFeed::~TelemetryFeed() {
  tasks_.destroy_all();
}

bool TelemetryFeed::wants(TelemetryType) const {
  return open_ || !subscribers_.empty();
}

void TelemetryFeed::subscribe(TelemetrySubscription subscription) {
  for (auto& each : subscribers_) {
    if (each->subscription.subscriber != subscription.subscriber) continue;
    each->replaced = true;
    each->more.notify_all();
  }
  std::erase_if(subscribers_, [](const auto& each) { return each->replaced; });
  auto subscriber = std::make_shared<Subscriber>();
  subscriber->subscription = std::move(subscription);
  subscribers_.push_back(subscriber);
  for (const auto& [type, document] : early_) {
    if (subscriber->subscription.types & static_cast<uint8_t>(type)) subscriber->add(document);
  }
  tasks_.spawn(deliver(subscriber));
}

void TelemetryFeed::publish(TelemetryType type, std::string document) {
  if (!document.empty() && document.back() == '\n') document.pop_back();
  for (const auto& subscriber : subscribers_) {
    if (subscriber->subscription.types & static_cast<uint8_t>(type)) subscriber->add(document);
  }
  if (open_ && early_.size() < kMaxEarly) early_.emplace_back(type, std::move(document));
}

void TelemetryFeed::publish_line(TelemetryType type, std::string_view time, std::string_view line) {
  if (!line.empty() && line.back() == '\n') line.remove_suffix(1);
  std::string_view name = type == TelemetryType::Function ? "function" : "extension";
  publish(type, to_json(Json{{"time", time}, {"type", name}, {"record", line}}));
}

void TelemetryFeed::close_subscriptions() {
  open_ = false;
  early_.clear();
  early_.shrink_to_fit();
}

io::Task<void> TelemetryFeed::deliver(std::shared_ptr<Subscriber> subscriber) {
  Subscriber& own = *subscriber;
  while (!own.replaced) {
    if (own.documents.empty()) {
      co_await own.more.wait();
      continue;
    }
    auto deadline = std::chrono::steady_clock::now() + own.subscription.timeout;
    if (!own.is_full()) co_await loop_.sleep_until(deadline);
    std::string batch = own.subscription.tcp ? "" : "[";
    size_t count = 0;
    while (!own.documents.empty() && count < own.subscription.max_items) {
      std::string& document = own.documents.front();
      if (count > 0 && batch.size() + document.size() > own.subscription.max_bytes) break;
      if (!own.subscription.tcp && count > 0) batch += ",";
      batch += document;
      if (own.subscription.tcp) batch += "\n";
      own.bytes -= document.size();
      own.documents.pop_front();
      ++count;
    }
    if (!own.subscription.tcp) batch += "]";
    for (int attempt = 0; attempt < kAttempts && !own.replaced; ++attempt) {
      io::Task<Result<void>> sending = send(own, batch);
      auto sent =
          co_await io::with_deadline(std::move(sending), std::chrono::steady_clock::now() + kSendTime);
      if (sent) break;
      if (attempt + 1 == kAttempts) own.dropped += count;
      co_await loop_.sleep_for(50ms);
    }
    if (own.dropped > 0 && own.documents.empty()) {
      Json record = {{"reason", "The subscriber did not take them"},
                     {"droppedRecords", std::exchange(own.dropped, 0)}};
      own.add(to_json(Json{
          {"time", to_milliseconds(berth::now())}, {"type", "platform.logsDropped"}, {"record", record}}));
    }
  }
}

io::Task<Result<void>> TelemetryFeed::send(const Subscriber& subscriber, std::string batch) {
  CO_TRY(sys::UniqueFd socket, make_socket_());
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(subscriber.subscription.port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int connected = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  if (connected != 0 && errno != EINPROGRESS) co_return Error::from_errno("connect", "telemetry", errno);
  CO_CHECK(co_await loop_.writable(socket.get()));
  std::string message = std::move(batch);
  if (!subscriber.subscription.tcp) {
    message = fmt::format(
        "POST {} HTTP/1.1\r\nHost: sandbox.localdomain:{}\r\nContent-Type: application/json\r\nContent-"
        "Length: {}\r\nConnection: close\r\n\r\n{}",
        subscriber.subscription.path, subscriber.subscription.port, message.size(), message);
  }
  std::string_view rest = message;
  while (!rest.empty()) {
    ssize_t sent = ::send(socket.get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      rest.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN || errno == EINPROGRESS || errno == ENOTCONN) {
      CO_CHECK(co_await loop_.writable(socket.get()));
    } else {
      co_return Error::from_errno("send", "telemetry", errno);
    }
  }
  if (subscriber.subscription.tcp) co_return Result<void>();
  // The answer says nothing that is acted upon; reading it keeps the subscriber from seeing a reset.
  size_t taken = 0;
  char buffer[2048];
  while (taken < kMaxAnswer) {
    CO_CHECK(co_await loop_.readable(socket.get()));
    ssize_t size = ::recv(socket.get(), buffer, sizeof buffer, 0);
    if (size < 0 && errno == EAGAIN) continue;
    if (size <= 0) break;
    taken += static_cast<size_t>(size);
    if (std::string_view(buffer, static_cast<size_t>(size)).find("\r\n\r\n") != std::string_view::npos) break;
  }
  co_return Result<void>();
}

}  // namespace berth::functions
