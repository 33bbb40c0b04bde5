// Runs a program confined as packaging/abide.service has it, without systemd.
//
// usage: confine ERRNO FAMILIES CALLS PROGRAM ARGUMENT…
//   ERRNO     what a refused system call returns; 0 ends the process, as systemd does by default
//   FAMILIES  the allowed address families, as numbers with commas between
//   CALLS     the allowed system calls, as numbers with commas between
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif

static struct sock_filter filter[4096];
static unsigned short length;

static void add(unsigned short code, unsigned k, unsigned char yes, unsigned char no) {
  filter[length++] = (struct sock_filter){code, yes, no, k};
}

// Each number of the list that is met leads to `action`.
static void match(char *list, unsigned action) {
  for (char *word = strtok(list, ","); word; word = strtok(NULL, ",")) {
    add(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)atoi(word), 0, 1);
    add(BPF_RET | BPF_K, action, 0, 0);
  }
}

int main(int count, char **words) {
  if (count < 5) return 2;
  unsigned refusal = (unsigned)atoi(words[1]);
  unsigned refused = refusal ? SECCOMP_RET_ERRNO | refusal : SECCOMP_RET_KILL_PROCESS;

  // The first argument of `socket` is its family.
  add(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
  unsigned short jump = length;
  add(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 0);
  add(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0]), 0, 0);
  match(words[2], SECCOMP_RET_ALLOW);
  add(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EAFNOSUPPORT, 0, 0);
  filter[jump].jf = (unsigned char)(length - jump - 1);
  match(words[3], SECCOMP_RET_ALLOW);
  add(BPF_RET | BPF_K, refused, 0, 0);

  // Kernels before 6.3 don't know it, and the rest of the check is worth as much without.
  prctl(PR_SET_MDWE, 1, 0, 0, 0);
  struct sock_fprog program = {length, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
    perror("seccomp");
    return 2;
  }
  execv(words[4], words + 4);
  perror(words[4]);
  return 2;
}
