// Where an ordinary user's own engine lives: the account, the directory for sockets and the one for data, as
// the XDG base directory specification has them. Used by the command and the daemon, which must agree.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace berth::sys {

struct Account {
  std::string name;
  std::string home;
};

/// From /etc/passwd (a bounded part of it; NSS is not asked). NotFound.
Result<Account> find_account(uid_t uid);

/// "$XDG_RUNTIME_DIR/berth", else "/run/user/<uid>/berth" where that directory is the user's own, else
/// "/tmp/berth-<uid>", which is made (mode 0700). Forbidden when what is there belongs to someone else or is
/// open to others: the socket in it gives all of the user's rights.
Result<std::string> user_runtime_directory(uid_t uid);

/// "$XDG_DATA_HOME/berth", else "~/.local/share/berth". NotFound without a home.
Result<std::string> user_data_directory(uid_t uid);

}  // namespace berth::sys
