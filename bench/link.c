/* A slow line between two network namespaces, in user space: for systems whose kernel has no netem. Each namespace gets
 * a tunnel device; what one sends reaches the other after its place in a queue of the given rate, and the delay. usage:
 * bench_link BYTES_PER_SECOND DELAY_MS DEVICE NAMESPACE_A NAMESPACE_B     (as root; bench/netns.sh calls it) Prints
 * "ready" when both devices are there; runs until it is ended. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { PACKET_MAX = 65536, QUEUE_MAX = 64 << 20 };

struct packet {
  struct packet *next;
  double due;
  size_t len;
  unsigned char data[];
};

/* One direction. */
struct line {
  int from, to;
  double bytes_per_second, delay;
  double free_at; /* when the last packet so far has left */
  pthread_mutex_t lock;
  pthread_cond_t changed;
  struct packet *first, *last;
  size_t queued;
};

static void end(const char *what) {
  fprintf(stderr, "bench_link: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void sleep_until(double due) {
  const struct timespec t = {.tv_sec = (time_t)due, .tv_nsec = (long)((due - (double)(time_t)due) * 1e9)};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) continue;
}

/* A tunnel device in a namespace; the caller stays there. */
static int open_device(const char *space, const char *device) {
  char path[128];
  snprintf(path, sizeof path, "/var/run/netns/%s", space);
  const int ns = open(path, O_RDONLY | O_CLOEXEC);
  if (ns < 0 || setns(ns, CLONE_NEWNET)) end(path);
  close(ns);
  const int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (fd < 0) end("/dev/net/tun");
  struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", device);
  if (ioctl(fd, TUNSETIFF, &request)) end(device);
  return fd;
}

/* Takes packets from the sender's device, and says when each is due. */
static void *take(void *arg) {
  struct line *l = arg;
  static _Thread_local unsigned char buffer[PACKET_MAX];
  for (;;) {
    const ssize_t len = read(l->from, buffer, sizeof buffer);
    if (len < 0 && errno != EINTR && errno != EIO) end("read");
    if (len <= 0) continue;
    struct packet *p = malloc(sizeof *p + (size_t)len);
    if (!p) end("memory");
    *p = (struct packet){.len = (size_t)len};
    memcpy(p->data, buffer, (size_t)len);
    const double time = now();
    pthread_mutex_lock(&l->lock);
    while (l->queued > QUEUE_MAX) pthread_cond_wait(&l->changed, &l->lock);
    if (l->free_at < time) l->free_at = time;
    l->free_at += (double)len / l->bytes_per_second;
    p->due = l->free_at + l->delay;
    *(l->first ? &l->last->next : &l->first) = p;
    l->last = p;
    l->queued += p->len;
    pthread_cond_signal(&l->changed);
    pthread_mutex_unlock(&l->lock);
  }
  return NULL;
}

/* Hands them to the receiver's device when they are due. */
static void *give(void *arg) {
  struct line *l = arg;
  for (;;) {
    pthread_mutex_lock(&l->lock);
    while (!l->first) pthread_cond_wait(&l->changed, &l->lock);
    struct packet *p = l->first;
    pthread_mutex_unlock(&l->lock);
    sleep_until(p->due);
    /* A device that is down drops packets, as a cable would. */
    if (write(l->to, p->data, p->len) < 0 && errno != EIO && errno != EINVAL) end("write");
    pthread_mutex_lock(&l->lock);
    l->first = p->next;
    l->queued -= p->len;
    pthread_cond_signal(&l->changed);
    pthread_mutex_unlock(&l->lock);
    free(p);
  }
  return NULL;
}

int main(int argc, char **argv) {
  const double rate = argc == 6 ? atof(argv[1]) : 0, delay = argc == 6 ? atof(argv[2]) / 1e3 : -1;
  if (rate <= 0 || delay < 0) {
    fprintf(stderr, "usage: bench_link BYTES_PER_SECOND DELAY_MS DEVICE NAMESPACE_A NAMESPACE_B\n");
    return 2;
  }
  prctl(PR_SET_TIMERSLACK, 1UL); /* nanoseconds: sleeps end when they should */
  const int a = open_device(argv[4], argv[3]), b = open_device(argv[5], argv[3]);
  struct line lines[2] = {{.from = a, .to = b}, {.from = b, .to = a}};
  pthread_t threads[4];
  for (size_t i = 0; i < 2; i++) {
    lines[i].bytes_per_second = rate;
    lines[i].delay = delay;
    pthread_mutex_init(&lines[i].lock, NULL);
    pthread_cond_init(&lines[i].changed, NULL);
    if (pthread_create(&threads[2 * i], NULL, take, &lines[i]) ||
        pthread_create(&threads[2 * i + 1], NULL, give, &lines[i]))
      end("thread");
  }
  puts("ready");
  fflush(stdout);
  for (size_t i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  return 0;
}
