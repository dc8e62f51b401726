/* Prints who it is and what it may do: installed setuid-root in the image setuid:test, where a
 * container of an unprivileged user must gain nothing from it. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
    static const char *const wanted[] = {"CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:",
                                         "NoNewPrivs:", "Seccomp:"};
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");

    printf("uid %d euid %d gid %d egid %d\n", (int)getuid(), (int)geteuid(), (int)getgid(),
           (int)getegid());
    while (status && fgets(line, sizeof line, status))
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
            if (strncmp(line, wanted[i], strlen(wanted[i])) == 0)
                fputs(line, stdout);
    return 0;
}
