// Decompressors and compressors over ISA-L, zstd, liblzma and libbz2.
#include "storage/compression.h"

#include <bzlib.h>
#include <isa-l/igzip_lib.h>
#include <lzma.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "base/format.h"
#include "storage/gzip_sink.h"

namespace berth::storage {
namespace {

constexpr size_t input_buffer = 256 * 1024;
constexpr size_t output_buffer = 256 * 1024;

Error damaged(std::string_view format, std::string_view detail) {
  return failure(Kind::Corrupt, "damaged {} data: {}", format, detail);
}

/// What one step of a decoder did. NeedInput also means "call again with more".
enum class StepResult { Progress, NeedInput, EndOfStream };

struct Window {
  const char* input;
  size_t input_size;
  char* output;
  size_t output_size;
};

/// One compression format: consumes from the front of `window.input`, fills `window.output`, advances both.
class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual Result<StepResult> step(Window& window) = 0;
  /// The next member or frame of a concatenation begins; false if `input` cannot begin one.
  virtual bool restart(std::string_view input) = 0;
  virtual std::string_view name() const = 0;
};

class GzipDecoder final : public Decoder {
 public:
  GzipDecoder() { reset(); }

  Result<StepResult> step(Window& window) override {
    state_->next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(window.input));
    state_->avail_in = static_cast<uint32_t>(window.input_size);
    state_->next_out = reinterpret_cast<uint8_t*>(window.output);
    state_->avail_out = static_cast<uint32_t>(window.output_size);
    int code = isal_inflate(state_.get());
    window.input = reinterpret_cast<const char*>(state_->next_in);
    window.input_size = state_->avail_in;
    window.output = reinterpret_cast<char*>(state_->next_out);
    window.output_size = state_->avail_out;
    if (code != ISAL_DECOMP_OK && code != ISAL_END_INPUT)
      return damaged("gzip", fmt::format("code {}", code));
    if (state_->block_state == ISAL_BLOCK_FINISH) return StepResult::EndOfStream;
    return StepResult::Progress;
  }
  bool restart(std::string_view input) override {
    if (!input.starts_with("\x1f")) return false;
    reset();
    return true;
  }
  std::string_view name() const override { return "gzip"; }

 private:
  void reset() {
    isal_inflate_init(state_.get());
    state_->crc_flag = ISAL_GZIP;
  }
  std::unique_ptr<inflate_state> state_ = std::make_unique<inflate_state>();
};

class ZstdDecoder final : public Decoder {
 public:
  explicit ZstdDecoder(size_t max_memory) : context_(ZSTD_createDCtx()) {
    int log = 10;  // the format's smallest window
    while (log < 30 && (size_t{2} << log) <= max_memory) ++log;
    ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, log);
  }
  ~ZstdDecoder() override { ZSTD_freeDCtx(context_); }

  Result<StepResult> step(Window& window) override {
    ZSTD_inBuffer in{window.input, window.input_size, 0};
    ZSTD_outBuffer out{window.output, window.output_size, 0};
    size_t code = ZSTD_decompressStream(context_, &out, &in);
    if (ZSTD_isError(code)) return damaged("zstd", ZSTD_getErrorName(code));
    window.input += in.pos;
    window.input_size -= in.pos;
    window.output += out.pos;
    window.output_size -= out.pos;
    return code == 0 ? StepResult::EndOfStream : StepResult::Progress;
  }
  bool restart(std::string_view input) override {
    // A frame, or a skippable frame (0x184D2A50 to 5F), as zstd:chunked and seekable files have at the end.
    return input.starts_with("\x28") || (!input.empty() && (input[0] & 0xf0) == 0x50);
  }
  std::string_view name() const override { return "zstd"; }

 private:
  ZSTD_DCtx* context_;
};

class XzDecoder final : public Decoder {
 public:
  explicit XzDecoder(size_t max_memory) : max_memory_(max_memory) { reset(); }
  ~XzDecoder() override { lzma_end(&stream_); }

  Result<StepResult> step(Window& window) override {
    if (!initialised_) return Error(Kind::Exhausted, "xz: out of memory");
    stream_.next_in = reinterpret_cast<const uint8_t*>(window.input);
    stream_.avail_in = window.input_size;
    stream_.next_out = reinterpret_cast<uint8_t*>(window.output);
    stream_.avail_out = window.output_size;
    lzma_ret code = lzma_code(&stream_, LZMA_RUN);
    window.input = reinterpret_cast<const char*>(stream_.next_in);
    window.input_size = stream_.avail_in;
    window.output = reinterpret_cast<char*>(stream_.next_out);
    window.output_size = stream_.avail_out;
    if (code == LZMA_STREAM_END) return StepResult::EndOfStream;
    if (code == LZMA_BUF_ERROR) return StepResult::NeedInput;
    if (code == LZMA_MEMLIMIT_ERROR) {
      return failure(Kind::Exhausted, "xz data needs more than {} bytes of memory to unpack", max_memory_);
    }
    if (code != LZMA_OK) return damaged("xz", fmt::format("code {}", static_cast<int>(code)));
    return StepResult::Progress;
  }
  bool restart(std::string_view input) override {
    if (!input.starts_with("\xfd")) return false;
    lzma_end(&stream_);
    reset();
    return true;
  }
  std::string_view name() const override { return "xz"; }

 private:
  void reset() {
    stream_ = LZMA_STREAM_INIT;
    initialised_ = lzma_stream_decoder(&stream_, max_memory_, 0) == LZMA_OK;
  }
  size_t max_memory_;
  lzma_stream stream_ = LZMA_STREAM_INIT;
  bool initialised_ = false;
};

class Bzip2Decoder final : public Decoder {
 public:
  Bzip2Decoder() { BZ2_bzDecompressInit(&stream_, 0, 0); }
  ~Bzip2Decoder() override { BZ2_bzDecompressEnd(&stream_); }

  Result<StepResult> step(Window& window) override {
    stream_.next_in = const_cast<char*>(window.input);
    stream_.avail_in = static_cast<unsigned>(window.input_size);
    stream_.next_out = window.output;
    stream_.avail_out = static_cast<unsigned>(window.output_size);
    int code = BZ2_bzDecompress(&stream_);
    window.input = stream_.next_in;
    window.input_size = stream_.avail_in;
    window.output = stream_.next_out;
    window.output_size = stream_.avail_out;
    if (code == BZ_STREAM_END) return StepResult::EndOfStream;
    if (code != BZ_OK) return damaged("bzip2", fmt::format("code {}", code));
    return StepResult::Progress;
  }
  bool restart(std::string_view input) override {
    if (!input.starts_with("B")) return false;
    BZ2_bzDecompressEnd(&stream_);
    stream_ = {};
    BZ2_bzDecompressInit(&stream_, 0, 0);
    return true;
  }
  std::string_view name() const override { return "bzip2"; }

 private:
  bz_stream stream_{};
};

/// Runs a decoder over a source, member after member, and holds the limits.
class DecompressedSource final : public ByteSource {
 public:
  DecompressedSource(ByteSource& source, std::unique_ptr<Decoder> decoder, std::string prefix,
                     const DecompressionLimits& limits)
      : source_(source), decoder_(std::move(decoder)), limits_(limits), buffer_(input_buffer) {
    std::memcpy(buffer_.data(), prefix.data(), prefix.size());
    available_ = prefix.size();
    input_bytes_ = prefix.size();
  }

  Result<size_t> read(std::span<char> out) override {
    size_t produced = 0;
    while (produced == 0 && !done_) {
      if (available_ == 0 && !at_end_) CHECK(refill());
      if (ended_) {
        CHECK(begin_next_member());
        continue;
      }
      Window window{buffer_.data() + position_, available_, out.data(), out.size()};
      TRY(StepResult result, decoder_->step(window));
      produced = out.size() - window.output_size;
      size_t consumed = available_ - window.input_size;
      position_ += consumed;
      available_ = window.input_size;
      ended_ = result == StepResult::EndOfStream;
      bool stuck = produced == 0 && consumed == 0 && !ended_;
      if (stuck && at_end_) return damaged(decoder_->name(), "it ends early");
      if (stuck && available_ > 0) return damaged(decoder_->name(), "no progress");
    }
    CHECK(account(produced));
    return produced;
  }

 private:
  Result<void> refill() {
    position_ = 0;
    TRY(available_, source_.read(buffer_));
    input_bytes_ += available_;
    if (available_ == 0) at_end_ = true;
    return {};
  }

  /// After the end of a member: another member, padding, or the end of input.
  Result<void> begin_next_member() {
    while (available_ > 0 && buffer_[position_] == '\0') {
      ++position_;
      --available_;
      padded_ = true;
    }
    if (available_ == 0) {
      done_ = at_end_;
      return {};
    }
    if (padded_ || !decoder_->restart(std::string_view(buffer_.data() + position_, available_))) {
      return damaged(decoder_->name(), "bytes after its end");
    }
    ended_ = false;
    return {};
  }

  Result<void> account(size_t produced) {
    output_bytes_ += produced;
    if (output_bytes_ > limits_.max_bytes) {
      return failure(Kind::Exhausted, "{} data unpacks to more than the limit of {} bytes", decoder_->name(),
                     limits_.max_bytes);
    }
    if (output_bytes_ > limits_.ratio_grace_bytes && output_bytes_ / limits_.max_ratio > input_bytes_) {
      return failure(Kind::Exhausted, "{} data unpacks to more than {} times its size: refused as a bomb",
                     decoder_->name(), limits_.max_ratio);
    }
    return {};
  }

  ByteSource& source_;
  std::unique_ptr<Decoder> decoder_;
  DecompressionLimits limits_;
  std::vector<char> buffer_;
  size_t position_ = 0;
  size_t available_ = 0;
  uint64_t input_bytes_ = 0;
  uint64_t output_bytes_ = 0;
  bool at_end_ = false;  ///< of the source
  bool ended_ = false;   ///< a member has ended
  bool padded_ = false;  ///< zeros followed it; nothing else may
  bool done_ = false;
};

/// Plain bytes: what was read for detection, then the rest.
class PrefixedSource final : public ByteSource {
 public:
  PrefixedSource(ByteSource& source, std::string prefix, uint64_t max_bytes)
      : source_(source), prefix_(std::move(prefix)), max_bytes_(max_bytes) {}

  Result<size_t> read(std::span<char> buffer) override {
    size_t count = std::min(buffer.size(), prefix_.size() - position_);
    if (count > 0) {
      std::memcpy(buffer.data(), prefix_.data() + position_, count);
      position_ += count;
    } else {
      TRY(count, source_.read(buffer));
    }
    total_ += count;
    if (total_ > max_bytes_) {
      return failure(Kind::Exhausted, "archive is larger than the limit of {} bytes", max_bytes_);
    }
    return count;
  }

 private:
  ByteSource& source_;
  std::string prefix_;
  size_t position_ = 0;
  uint64_t total_ = 0;
  uint64_t max_bytes_;
};

class PlainSink final : public CompressingSink {
 public:
  explicit PlainSink(ByteSink& sink) : sink_(sink) {}
  Result<void> write(std::string_view bytes) override { return sink_.write(bytes); }
  Result<void> finish() override { return {}; }

 private:
  ByteSink& sink_;
};

class ZstdSink final : public CompressingSink {
 public:
  explicit ZstdSink(ByteSink& sink) : sink_(sink), context_(ZSTD_createCCtx()), output_(output_buffer) {
    ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, 3);
    ZSTD_CCtx_setParameter(context_, ZSTD_c_checksumFlag, 1);
  }
  ~ZstdSink() override { ZSTD_freeCCtx(context_); }
  Result<void> write(std::string_view bytes) override { return pump(bytes, ZSTD_e_continue); }
  Result<void> finish() override { return pump({}, ZSTD_e_end); }

 private:
  Result<void> pump(std::string_view bytes, ZSTD_EndDirective directive) {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    size_t remaining = 0;
    do {
      ZSTD_outBuffer out{output_.data(), output_.size(), 0};
      remaining = ZSTD_compressStream2(context_, &out, &in, directive);
      if (ZSTD_isError(remaining)) return failure(Kind::Internal, "zstd: {}", ZSTD_getErrorName(remaining));
      CHECK(sink_.write(std::string_view(output_.data(), out.pos)));
    } while (directive == ZSTD_e_end ? remaining > 0 : in.pos < in.size);
    return {};
  }

  ByteSink& sink_;
  ZSTD_CCtx* context_;
  std::vector<char> output_;
};

}  // namespace

std::string_view to_string(Compression compression) {
  switch (compression) {
    case Compression::None:
      return "none";
    case Compression::Gzip:
      return "gzip";
    case Compression::Zstd:
      return "zstd";
    case Compression::Xz:
      return "xz";
    case Compression::Bzip2:
      return "bzip2";
  }
  return "none";
}

Compression detect_compression(std::string_view prefix) {
  if (prefix.starts_with("\x1f\x8b\x08")) return Compression::Gzip;
  if (prefix.starts_with("\x28\xb5\x2f\xfd")) return Compression::Zstd;
  if (prefix.size() >= 4 && (prefix[0] & 0xf0) == 0x50 && prefix.substr(1, 3) == "\x2a\x4d\x18") {
    return Compression::Zstd;  // a skippable frame first
  }
  if (prefix.starts_with(std::string_view("\xfd"
                                          "7zXZ\0",
                                          6)))
    return Compression::Xz;
  if (prefix.size() >= 4 && prefix.starts_with("BZh") && prefix[3] >= '1' && prefix[3] <= '9') {
    return Compression::Bzip2;
  }
  return Compression::None;
}

Result<std::unique_ptr<ByteSource>> decompress(ByteSource& source, const DecompressionLimits& limits) {
  std::string prefix(6, '\0');
  size_t used = 0;
  while (used < prefix.size()) {
    TRY(size_t count, source.read(std::span(prefix.data() + used, prefix.size() - used)));
    if (count == 0) break;
    used += count;
  }
  prefix.resize(used);
  std::unique_ptr<Decoder> decoder;
  switch (detect_compression(prefix)) {
    case Compression::None:
      return std::unique_ptr<ByteSource>(new PrefixedSource(source, std::move(prefix), limits.max_bytes));
    case Compression::Gzip:
      decoder = std::make_unique<GzipDecoder>();
      break;
    case Compression::Zstd:
      decoder = std::make_unique<ZstdDecoder>(limits.max_decoder_memory);
      break;
    case Compression::Xz:
      decoder = std::make_unique<XzDecoder>(limits.max_decoder_memory);
      break;
    case Compression::Bzip2:
      decoder = std::make_unique<Bzip2Decoder>();
      break;
  }
  return std::unique_ptr<ByteSource>(
      new DecompressedSource(source, std::move(decoder), std::move(prefix), limits));
}

Result<std::unique_ptr<CompressingSink>> compress(ByteSink& sink, Compression compression) {
  switch (compression) {
    case Compression::None:
      return std::unique_ptr<CompressingSink>(new PlainSink(sink));
    case Compression::Gzip:
      return std::unique_ptr<CompressingSink>(new GzipSink(sink));
    case Compression::Zstd:
      return std::unique_ptr<CompressingSink>(new ZstdSink(sink));
    default:
      return failure(Kind::Unsupported, "compression with {} is not offered", to_string(compression));
  }
}

}  // namespace berth::storage
