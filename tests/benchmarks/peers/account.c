/* The account server that people write by hand: what an actor runtime does for them, in one file.
 *
 *   POST /v1/actors/Account/{name}/deposit  {"amount": n}   -> {"balance":b}
 *   POST /v1/actors/Account/{name}/debit    {"amount": n}   -> {"ok":true|false,"balance":b}
 *   POST /v1/actors/Account/{name}/balance                  -> {"balance":b}
 *   POST /v1/actors/Account/{name}/empty                    -> null
 *
 * A thread per connection, a map of accounts, a mutex per account held across check, append, fdatasync and change; the
 * log is the truth and is replayed at the start, the map is a cache. Usage: account PORT LOGFILE
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_MAX_BYTES 64
#define BUCKETS 65536

struct account {
    char name[NAME_MAX_BYTES];
    long long balance;
    pthread_mutex_t lock;
    struct account *next;
};

struct record { /* fixed size, so that a torn one is seen by its length */
    char name[NAME_MAX_BYTES];
    long long balance;
};

static struct account *buckets[BUCKETS];
static pthread_mutex_t map_lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static unsigned hash(const char *name) {
    unsigned h = 2166136261u;
    while (*name) h = (h ^ (unsigned char)*name++) * 16777619u;
    return h % BUCKETS;
}

static struct account *find(const char *name) {
    pthread_mutex_lock(&map_lock);
    struct account **at = &buckets[hash(name)], *found = *at;
    while (found && strcmp(found->name, name)) found = found->next;
    if (!found) {
        found = calloc(1, sizeof *found);
        snprintf(found->name, sizeof found->name, "%s", name);
        pthread_mutex_init(&found->lock, NULL);
        found->next = *at;
        *at = found;
    }
    pthread_mutex_unlock(&map_lock);
    return found;
}

static void replay(const char *path) {
    log_fd = open(path, O_RDWR | O_CREAT | O_APPEND, 0600);
    if (log_fd < 0) die(path);
    struct record r;
    off_t whole = 0;
    while (read(log_fd, &r, sizeof r) == sizeof r) {
        find(r.name)->balance = r.balance;
        whole += sizeof r;
    }
    if (ftruncate(log_fd, whole)) die("ftruncate"); /* what was torn was never acknowledged */
}

/* Durable before visible: the new balance is on disk before anybody sees it. The account's lock is held. */
static void set_balance(struct account *a, long long balance) {
    struct record r = {.balance = balance};
    memcpy(r.name, a->name, sizeof r.name);
    if (write(log_fd, &r, sizeof r) != sizeof r || fdatasync(log_fd)) die("log");
    a->balance = balance;
}

static int answer(char *out, size_t room, const char *name, const char *method, const char *body) {
    char json[128];
    const char *amount_at = strstr(body, "\"amount\"");
    long long amount = amount_at ? atoll(strchr(amount_at, ':') + 1) : 0;
    struct account *a = find(name);
    pthread_mutex_lock(&a->lock);
    if (!strcmp(method, "deposit")) {
        set_balance(a, a->balance + amount);
        snprintf(json, sizeof json, "{\"balance\":%lld}", a->balance);
    } else if (!strcmp(method, "debit")) {
        int ok = a->balance >= amount; /* check, then act: under the lock */
        if (ok) set_balance(a, a->balance - amount);
        snprintf(json, sizeof json, "{\"ok\":%s,\"balance\":%lld}", ok ? "true" : "false", a->balance);
    } else if (!strcmp(method, "balance")) {
        snprintf(json, sizeof json, "{\"balance\":%lld}", a->balance);
    } else {
        snprintf(json, sizeof json, "null");
    }
    pthread_mutex_unlock(&a->lock);
    return snprintf(out, room,
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                    strlen(json), json);
}

static void *serve(void *argument) {
    int fd = (int)(long)argument, one = 1;
    char in[8192], out[512], name[NAME_MAX_BYTES], method[32];
    size_t have = 0;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (;;) {
        ssize_t n = read(fd, in + have, sizeof in - 1 - have);
        if (n <= 0) break;
        have += (size_t)n;
        in[have] = 0;
        char *end;
        while ((end = strstr(in, "\r\n\r\n"))) {
            char *length_at = strcasestr(in, "content-length:");
            size_t length = length_at && length_at < end ? strtoul(length_at + 15, NULL, 10) : 0;
            size_t whole = (size_t)(end + 4 - in) + length;
            if (have < whole) break;
            char body[1024];
            size_t copied = length < sizeof body - 1 ? length : sizeof body - 1;
            memcpy(body, end + 4, copied);
            body[copied] = 0;
            if (sscanf(in, "POST /v1/actors/Account/%63[^/]/%31[^ ?]", name, method) != 2) goto done;
            int bytes = answer(out, sizeof out, name, method, body);
            if (write(fd, out, (size_t)bytes) != bytes) goto done;
            memmove(in, in + whole, have - whole);
            have -= whole;
            in[have] = 0;
        }
    }
done:
    close(fd);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 3) return fprintf(stderr, "usage: account PORT LOGFILE\n"), 2;
    replay(argv[2]);
    int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024)) die("listen");
    puts("ready");
    fflush(stdout);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0) continue;
        pthread_t thread;
        pthread_create(&thread, NULL, serve, (void *)(long)fd);
        pthread_detach(thread);
    }
}
