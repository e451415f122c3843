/** What systemd and a service say to each other, by environment variables and a datagram: no library is needed. */
#ifndef FUSION_TOOLS_NOTIFY_H
#define FUSION_TOOLS_NOTIFY_H

/** Sends a state ("READY=1") to the manager that NOTIFY_SOCKET names; nothing without one. See sd_notify(3). */
void cli_notify(const char *state);
/** The listening socket that the manager passed to this process, or 0: none. See sd_listen_fds(3). */
int cli_passed_socket(void);

#endif
