// zlib.
#include "storage/deflate.h"

#include <zlib.h>

namespace berth::storage {

Result<std::string> deflate_whole(std::string_view bytes, DeflateFormat format, int level) {
  constexpr int kWindow = 15;
  constexpr int kGzip = 16;  // added to the window: a gzip header in place of zlib's
  constexpr int kMemory = 8;
  const int window = format == DeflateFormat::Gzip ? kWindow + kGzip : kWindow;
  z_stream stream{};
  if (::deflateInit2(&stream, level, Z_DEFLATED, window, kMemory, Z_DEFAULT_STRATEGY) != Z_OK)
    return Error(Kind::Exhausted, "deflate: out of memory");
  std::string out(::deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int ended = ::deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  if (ended != Z_STREAM_END) return Error(Kind::Internal, "deflate: the bound was too small");
  return out;
}

}  // namespace berth::storage
