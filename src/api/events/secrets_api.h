// Secrets Manager's API in the form of AWS JSON 1.1, as far as those need it who keep the passwords of event
// sources: one current value a secret, no rotation, no recovery window.
#pragma once

#include <string>
#include <string_view>

#include "api/aws/reply.h"
#include "functions/model.h"

namespace berth::functions {
class Catalog;
}

namespace berth::api::events {

/// `target`: the X-Amz-Target header, "secretsmanager.CreateSecret".
aws::Reply answer_secrets(functions::Catalog& catalog, std::string_view target, std::string_view body,
                          functions::Realm realm);

}  // namespace berth::api::events
