// What stands in for the data plane where a berthd is built or run without it: every event is turned away
// with a clear word.
#pragma once

#include "functions/async_queue.h"
#include "functions/function_log.h"
#include "functions/invocation.h"

namespace berth::berthd {

class AbsentInvoker final : public functions::Invoker {
 public:
  io::Task<Result<functions::InvocationOutcome>> invoke(functions::Invocation invocation) override;
  functions::Throttle last_throttle() const override { return functions::Throttle::None; }
  void function_changed(const functions::Realm&, const std::string&, functions::FunctionVersionPtr) override {
  }
  void set_concurrency(const functions::Realm&, const std::string&, functions::ConcurrencySettings) override {
  }
  Provisioned provisioned(const functions::Realm&, const std::string&, const std::string&) const override {
    return {};
  }
};

class AbsentQueue final : public functions::AsyncQueue {
 public:
  io::Task<Result<void>> enqueue(functions::AsyncEvent event) override;
};

class AbsentLog final : public functions::FunctionLog {
 public:
  void append(const functions::Realm&, const std::string&, const std::string&, int64_t,
              std::string_view) override {}
  io::Task<Result<std::vector<functions::LogEvent>>> read(functions::Realm realm,
                                                          functions::LogQuery query) override;
  Result<std::vector<functions::LogGroupInfo>> groups(const functions::Realm&,
                                                      std::string_view) const override;
  Result<std::vector<functions::LogStreamInfo>> streams(const functions::Realm&, const std::string&,
                                                        std::string_view) const override;
  Result<void> create_group(const functions::Realm&, const std::string&) override;
  Result<void> create_stream(const functions::Realm&, const std::string&, const std::string&) override;
  Result<void> remove_group(const functions::Realm&, const std::string&) override;
  Result<void> set_retention(const functions::Realm&, const std::string&, std::optional<uint32_t>) override;
  io::Task<void> wait_for_more(functions::Realm realm, std::string group, uint64_t sequence) override;
};

}  // namespace berth::berthd
