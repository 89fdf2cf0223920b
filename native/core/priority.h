#pragma once
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace vectron {

/** Of 0 to 19: yields the processor to whoever wants it, and gets about a tenth of it from those that never rest. */
constexpr int niceness = 10;

/** Of this thread alone, as Linux has it. It may be refused, which costs searches some time and nothing else. */
inline void lowerPriority() { (void)setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), niceness); }

}  // namespace vectron
