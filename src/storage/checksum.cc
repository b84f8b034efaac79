// CRC by ISA-L.
#include "storage/checksum.h"

#include <isa-l/crc64.h>

namespace berth::storage {

uint64_t crc64(uint64_t before, std::string_view bytes) {
  return crc64_ecma_refl(before, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
}

}  // namespace berth::storage
