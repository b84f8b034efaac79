// Events' addressees, as the catalog has them.
#include "functions/catalog/catalog.h"
#include "functions/durable/durable_invoker.h"
#include "functions/events/event_queue.h"

namespace berth::functions::events {

FindAddressee addressee_from(const Catalog& catalog) {
  return [&catalog](const Realm& realm, const std::string& function,
                    const std::string& qualifier) -> Result<Addressee> {
    TRY(FunctionVersionPtr version, catalog.resolve(realm, function, qualifier));
    Addressee addressee{.version = version};
    EventInvokeSettings& settings = addressee.settings;
    settings.dead_letter_arn = version->dead_letter_arn;
    const FunctionEntry* entry = catalog.find(realm, function);
    if (entry == nullptr) return addressee;
    settings.switched_off = entry->settings().reserved_concurrency == 0u;
    auto config = entry->settings().event_invoke.find(qualifier.empty() ? latest_version : qualifier);
    if (config == entry->settings().event_invoke.end()) return addressee;
    if (config->second.maximum_retries) settings.maximum_retries = *config->second.maximum_retries;
    if (config->second.maximum_age_seconds)
      settings.maximum_age_ms = int64_t{*config->second.maximum_age_seconds} * 1000;
    // An event starts a durable execution, whose end comes much later and has a history of its own.
    if (durable::is_durable(*version)) return addressee;
    settings.on_success = config->second.on_success;
    settings.on_failure = config->second.on_failure;
    return addressee;
  };
}

}  // namespace berth::functions::events
