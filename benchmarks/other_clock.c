/* A clock that is wrong by $OTHER_CLOCK_S seconds, for the processes that load this before libc.

   The time of day is changed, and nothing else: not the times of files, not the clock by which
   intervals are measured, and not how long a wait lasts whose end is a time of day. (libfaketime
   0.9 lets waits of Python 3.11 last for ever, or fail.) */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Times of day are larger than this, times since the machine was started are not. */
#define A_TIME_OF_DAY 1000000000L

static long shift_s(void)
{
    const char *text = getenv("OTHER_CLOCK_S");
    return text ? atol(text) : 0;
}

static const struct timespec *true_time(const struct timespec *end, struct timespec *moved)
{
    *moved = *end;
    if (end->tv_sec > A_TIME_OF_DAY)
        moved->tv_sec -= shift_s();
    return moved;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += shift_s();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec exact;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &exact))
        return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *into)
{
    struct timespec exact;
    if (clock_gettime(CLOCK_REALTIME, &exact))
        return -1;
    if (into)
        *into = exact.tv_sec;
    return exact.tv_sec;
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict end)
{
    struct timespec moved;
    int (*wait)(sem_t *, const struct timespec *) = dlsym(RTLD_NEXT, "sem_timedwait");
    return wait(semaphore, true_time(end, &moved));
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict lock, const struct timespec *restrict end)
{
    struct timespec moved;
    int (*wait)(pthread_mutex_t *, const struct timespec *) =
        dlsym(RTLD_NEXT, "pthread_mutex_timedlock");
    return wait(lock, true_time(end, &moved));
}

int pthread_cond_timedwait(
    pthread_cond_t *restrict condition,
    pthread_mutex_t *restrict lock,
    const struct timespec *restrict end)
{
    struct timespec moved;
    int (*wait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *) =
        dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    return wait(condition, lock, true_time(end, &moved));
}
