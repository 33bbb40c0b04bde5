/* The system's randomness, replaced: always the same bytes, in the same order.
 *
 * The standard library's maps and the runtime's choices between tasks begin with it. A world that is to be played again
 * must have them begin alike. */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

ssize_t getrandom(void *buffer, size_t length, unsigned int flags) {
    static _Thread_local uint64_t state = 7;
    uint8_t *bytes = buffer;
    (void)flags;
    for (size_t n = 0; n < length; n++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        bytes[n] = (uint8_t)(state >> 33);
    }
    return (ssize_t)length;
}
