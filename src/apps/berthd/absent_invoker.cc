#include "apps/berthd/absent_invoker.h"

namespace berth::berthd {
namespace {

Error absent() {
  return Error(Kind::Unavailable, "This berthd runs no functions: it was built without their sandboxes");
}
Error no_group() {
  return Error(Kind::NotFound, "The specified log group does not exist.");
}

}  // namespace

io::Task<Result<functions::InvocationOutcome>> AbsentInvoker::invoke(functions::Invocation) {
  co_return absent();
}
io::Task<Result<void>> AbsentQueue::enqueue(functions::AsyncEvent) {
  co_return absent();
}
io::Task<Result<std::vector<functions::LogEvent>>> AbsentLog::read(functions::Realm, functions::LogQuery) {
  co_return no_group();
}
Result<std::vector<functions::LogGroupInfo>> AbsentLog::groups(const functions::Realm&,
                                                               std::string_view) const {
  return std::vector<functions::LogGroupInfo>();
}
Result<std::vector<functions::LogStreamInfo>> AbsentLog::streams(const functions::Realm&, const std::string&,
                                                                 std::string_view) const {
  return no_group();
}
Result<void> AbsentLog::create_group(const functions::Realm&, const std::string&) {
  return absent();
}
Result<void> AbsentLog::create_stream(const functions::Realm&, const std::string&, const std::string&) {
  return absent();
}
Result<void> AbsentLog::remove_group(const functions::Realm&, const std::string&) {
  return no_group();
}
Result<void> AbsentLog::set_retention(const functions::Realm&, const std::string&, std::optional<uint32_t>) {
  return no_group();
}
io::Task<void> AbsentLog::wait_for_more(functions::Realm, std::string, uint64_t) {
  co_return;
}

}  // namespace berth::berthd
