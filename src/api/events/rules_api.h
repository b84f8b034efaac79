// EventBridge's operations on rules of the default bus (AWS JSON 1.1, target prefix AWSEvents).
#pragma once

#include <string>

#include "api/aws/reply.h"
#include "functions/events/rules.h"
#include "io/task.h"

namespace berth::api::events {

/// `target`: the header X-Amz-Target, "AWSEvents.PutRule".
io::Task<aws::Reply> answer_rules(functions::events::Rules& rules, std::string target, std::string body,
                                  functions::Realm realm);

}  // namespace berth::api::events
