// SHA-256 by OpenSSL, and of many streams together where the processor has no instructions for it.
#include "base/sha256.h"

// Its chaining value is needed, which the newer interface does not show.
#define OPENSSL_API_COMPAT 0x10100000L
#include <openssl/sha.h>

#include <algorithm>
#include <array>

#include "base/bytes.h"
#include "base/sha256_together.h"

namespace berth {
namespace {

static_assert(sizeof(SHA_LONG) == sizeof(uint32_t));

/// As if SHA256_Update had taken them.
void count(SHA256_CTX& context, uint64_t bytes) {
  uint64_t bits = (uint64_t{context.Nh} << 32 | context.Nl) + bytes * 8;
  context.Nl = static_cast<SHA_LONG>(bits);
  context.Nh = static_cast<SHA_LONG>(bits >> 32);
}

}  // namespace

struct Sha256::State {
  SHA256_CTX context;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  SHA256_Init(&state_->context);
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::string_view bytes) {
  SHA256_CTX& context = state_->context;
  if (bytes.size() >= kWorthMeeting && hashing_together_helps()) {
    size_t head = (SHA256_CBLOCK - context.num) % SHA256_CBLOCK;
    SHA256_Update(&context, bytes.data(), head);
    bytes.remove_prefix(head);
    size_t blocks = bytes.size() / SHA256_CBLOCK;
    hash_together(context.h, reinterpret_cast<const uint8_t*>(bytes.data()), blocks);
    count(context, blocks * SHA256_CBLOCK);
    bytes.remove_prefix(blocks * SHA256_CBLOCK);
  }
  SHA256_Update(&context, bytes.data(), bytes.size());
}

Digest Sha256::finish() {
  std::array<uint8_t, SHA256_DIGEST_LENGTH> value{};
  SHA256_Final(value.data(), &state_->context);
  return Digest::from_hex(to_hex(value));
}

/// For documents, also on threads that must not wait for others.
Digest sha256(std::string_view bytes) {
  std::array<uint8_t, SHA256_DIGEST_LENGTH> value{};
  SHA256(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), value.data());
  return Digest::from_hex(to_hex(value));
}

}  // namespace berth
