// Whether programs of another machine can run here, and what to do when they cannot.
#pragma once

#include <string>

#include "base/error.h"
#include "spec/image.h"

namespace berth::build {

/// Where the kernel lists the interpreters of foreign programs (binfmt_misc).
inline constexpr const char* interpreters = "/proc/sys/fs/binfmt_misc";

/// The kernel runs programs of this machine itself: its own, and the 32-bit ones of 64-bit machines.
bool runs_natively(const spec::Platform& wanted, const spec::Platform& host);

/// The name under which QEMU's emulator for an architecture (in Go's names) is registered: "qemu-aarch64".
std::string emulator_name(const std::string& architecture);

/// A step of a foreign platform has not started: names what is missing, unless an emulator is registered.
Error with_emulation_advice(Error error, const spec::Platform& wanted,
                            const std::string& directory = interpreters);

}  // namespace berth::build
