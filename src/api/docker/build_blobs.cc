#include "api/docker/build_blobs.h"

#include <unistd.h>

#include "base/format.h"
#include "build/builder.h"
#include "build/client_transfers.h"

namespace berth::api {
namespace {

using Outcome = io::Task<Result<void>>;

constexpr size_t piece_bytes = size_t{256} << 10;

struct Place {
  std::shared_ptr<build::ClientTransfer> transfer;
  Digest digest;
};

Result<std::shared_ptr<build::ClientTransfer>> transfer_of(Context& context) {
  auto found = context.builder().transfers().find(context.capture(0));
  if (!found) return failure(Kind::NotFound, "no build waits under the token {}", context.capture(0));
  return found;
}

Result<Place> place_of(Context& context) {
  TRY(auto transfer, transfer_of(context));
  TRY(Digest digest, Digest::parse(context.capture(1)));
  return Place{std::move(transfer), std::move(digest)};
}

Error not_wanted(const Digest& digest) {
  return failure(Kind::NotFound, "the build does not wait for the blob {}", digest.str());
}

Outcome receive(Context& context, storage::ContentStore& content, Digest digest, uint64_t size) {
  storage::ExpectedBlob expected{.digest = std::move(digest), .size = size};
  CO_TRY(auto ingest, content.begin(std::move(expected)));
  std::vector<char> buffer(piece_bytes);
  while (true) {
    CO_TRY(size_t count, co_await context.exchange().read_some(buffer));
    if (count == 0) break;
    auto write = [&ingest, &buffer, count] { return ingest->write({buffer.data(), count}); };
    CO_CHECK(co_await context.loop().on_worker(std::move(write)));
  }
  auto commit = [&ingest] { return ingest->commit(); };
  CO_CHECK(co_await context.loop().on_worker(std::move(commit)));
  co_return Result<void>();
}

}  // namespace

Outcome take_build_blob(Context& context) {
  CO_TRY(Place place, place_of(context));
  auto size = place.transfer->wanted(place.digest);
  if (!size) co_return not_wanted(place.digest);
  auto receiving = receive(context, place.transfer->images().content(), place.digest, *size);
  auto received = co_await std::move(receiving);
  std::optional<Error> refusal;
  if (!received) refusal = received.error();
  place.transfer->answer(place.digest, std::move(refusal));
  CO_CHECK(std::move(received));
  co_return co_await context.empty(201);
}

Outcome refuse_build_blob(Context& context) {
  CO_TRY(Place place, place_of(context));
  if (!place.transfer->wanted(place.digest)) co_return not_wanted(place.digest);
  place.transfer->answer(place.digest,
                         failure(Kind::NotFound, "the client has no blob {}", place.digest.str()));
  co_return co_await context.empty(204);
}

Outcome give_build_blob(Context& context) {
  CO_TRY(Place place, place_of(context));
  if (!place.transfer->is_offered(place.digest))
    co_return failure(Kind::NotFound, "the build does not offer the blob {}", place.digest.str());
  storage::ContentStore& content = place.transfer->images().content();
  CO_TRY(sys::UniqueFd file, content.open_blob(place.digest));
  CO_TRY(uint64_t size, content.size(place.digest));
  CO_CHECK(co_await context.exchange().begin_sized(200, "application/octet-stream", size));
  std::vector<char> buffer(piece_bytes);
  for (uint64_t at = 0; at < size;) {
    auto read = [&file, &buffer, at]() -> Result<size_t> {
      ssize_t count = ::pread(file.get(), buffer.data(), buffer.size(), static_cast<off_t>(at));
      if (count < 0) return Error::from_errno("read", "a blob", errno);
      return static_cast<size_t>(count);
    };
    CO_TRY(size_t count, co_await context.loop().on_worker(std::move(read)));
    if (count == 0) break;
    std::string_view piece(buffer.data(), count);
    CO_CHECK(co_await context.exchange().write(piece));
    at += count;
  }
  co_return co_await context.exchange().finish();
}

Outcome end_build_transfer(Context& context) {
  CO_TRY(auto transfer, transfer_of(context));
  transfer->taken();
  co_return co_await context.empty(204);
}

}  // namespace berth::api
