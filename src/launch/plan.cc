// The bytes a plan owns, its encoding, and its description.
#include "launch/plan.h"

#include "base/format.h"
#include "launch/plan_codec.h"

namespace berth::launch {

Result<Text> Arena::text(std::string_view value) {
  if (value.find('\0') != std::string_view::npos)
    return failure(Kind::InvalidArgument, "\"{}\" contains a NUL byte", value.substr(0, value.find('\0')));
  const std::string& kept = strings_.emplace_back(value);
  return Text(kept.c_str(), static_cast<uint32_t>(kept.size()));
}

Result<TextList> Arena::list(const std::vector<std::string>& values) {
  std::string encoded;
  Encoder encoder(encoded);
  for (const auto& value : values) {
    if (value.find('\0') != std::string::npos)
      return failure(Kind::InvalidArgument, "\"{}\" contains a NUL byte", value.substr(0, value.find('\0')));
    encoder(Text(value.c_str(), static_cast<uint32_t>(value.size())));
  }
  const std::string& kept = strings_.emplace_back(std::move(encoded));
  return TextList(kept.data(), static_cast<uint32_t>(kept.size()), static_cast<uint32_t>(values.size()));
}

Blob Arena::blob(std::string_view bytes) {
  const std::string& kept = strings_.emplace_back(bytes);
  return {kept.data(), static_cast<uint32_t>(kept.size())};
}

Result<std::string> encode_plan(const LaunchPlan& plan) {
  if (plan.steps.size() > kMaxPlanSteps) return Error(Kind::Exhausted, "too many mounts and devices");
  std::string bytes;
  Encoder encoder(bytes);
  encoder(kPlanMagic, kPlanVersion, static_cast<uint32_t>(plan.steps.size()));
  KeeperSetup setup = plan.setup;
  setup.fields(encoder);
  for (const Step& step : plan.steps) encode_variant(encoder, step);
  if (bytes.size() > kMaxPlanBytes) return Error(Kind::Exhausted, "arguments and environment are too long");
  return bytes;
}

namespace {

/// Writes fields as they read best: texts bare, numbers in decimal, masks left to the reader.
class Describer {
 public:
  explicit Describer(std::string& out) : out_(out) {}
  template <class... Fields>
  void operator()(const Fields&... fields) {
    (put(fields), ...);
  }

 private:
  template <std::integral T>
  void put(T value) {
    out_ += fmt::format(" {}", value);
  }
  void put(const Text& text) { out_ += fmt::format(" \"{}\"", text.view()); }
  void put(const TextList& list) {
    out_ += " [";
    const char* separator = "";
    for (Text text : list) {
      out_ += fmt::format("{}{}", separator, text.view());
      separator = ", ";
    }
    out_ += "]";
  }
  void put(const Blob& blob) { out_ += fmt::format(" <{} bytes>", blob.size()); }
  std::string& out_;
};

}  // namespace

std::string describe(const LaunchPlan& plan) {
  std::string out;
  for (const Step& step : plan.steps) {
    out += kStepNames[step.index()];
    Describer describer(out);
    std::visit([&](auto copy) { copy.fields(describer); }, step);
    out += '\n';
  }
  return out;
}

}  // namespace berth::launch
