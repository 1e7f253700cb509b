/*
 * An SSH server made of libssh that forwards connections to TCP targets and from ports of its own.
 *
 * Usage and users are those of asyncssh_server.py; certificates are left out. Each session is a process
 * of its own, which ends with the one that listens.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <libssh/callbacks.h>
#include <libssh/server.h>

#define MIB (1 << 20)
#define PIECE 16384

static const char *authorized;

/* A channel and the socket that belongs to it; each direction ends by itself. */
struct joint {
    ssh_channel channel;
    int fd;
    char *waiting; /* from the channel, and not yet taken by the socket */
    size_t length, room;
    int channel_ended, fd_ended, shut;
    struct joint *next;
};

/* A port that leads to the client. */
struct port {
    int fd, number;
    char *address;
    struct port *next;
};

static struct joint *joints;
static struct port *ports;
static int authenticated, questioned;

static int listen_on(const char *address, int number, int *chosen)
{
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons(number) };
    socklen_t size = sizeof name;
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (inet_pton(AF_INET, address, &name.sin_addr) != 1 || bind(fd, (struct sockaddr *)&name, size) != 0
        || listen(fd, 64) != 0) {
        close(fd);
        return -1;
    }
    getsockname(fd, (struct sockaddr *)&name, &size);
    *chosen = ntohs(name.sin_port);
    return fd;
}

static int dial(const char *host, int number)
{
    char service[16];
    struct addrinfo hints = { .ai_family = AF_INET, .ai_socktype = SOCK_STREAM }, *found;
    int fd;

    snprintf(service, sizeof service, "%d", number);
    if (getaddrinfo(host, service, &hints, &found) != 0) return -1;
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
        close(fd);
        fd = -1;
    }
    freeaddrinfo(found);
    return fd;
}

static void join(ssh_channel channel, int fd)
{
    struct joint *joint = calloc(1, sizeof *joint);
    int yes = 1;

    fcntl(fd, F_SETFL, O_NONBLOCK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    joint->channel = channel;
    joint->fd = fd;
    joint->next = joints;
    joints = joint;
}

/* Whether a file has the public half of a key. */
static int is_authorized(ssh_key key)
{
    char line[8192], *words[2];
    FILE *file = fopen(authorized, "r");
    int good = 0;

    while (!good && fgets(line, sizeof line, file)) {
        ssh_key known;
        words[0] = strtok(line, " ");
        words[1] = strtok(NULL, " \n");
        if (words[1] == NULL || ssh_key_type_from_name(words[0]) == SSH_KEYTYPE_UNKNOWN) continue;
        if (ssh_pki_import_pubkey_base64(words[1], ssh_key_type_from_name(words[0]), &known) != SSH_OK) continue;
        good = ssh_key_cmp(known, key, SSH_KEY_CMP_PUBLIC) == 0;
        ssh_key_free(known);
    }
    fclose(file);
    return good;
}

/* Whether the user is in now. */
static int judge(ssh_session session, ssh_message message, int method)
{
    const char *user = ssh_message_auth_user(message);

    /* Answers do not name the user again. */
    if (method == SSH_AUTH_METHOD_INTERACTIVE) {
        return questioned && ssh_userauth_kbdint_getnanswers(session) == 1
            && strcmp(ssh_userauth_kbdint_getanswer(session, 0), "right") == 0;
    }
    if (method == SSH_AUTH_METHOD_NONE) return strcmp(user, "open") == 0;
    if (strcmp(user, "user") != 0) return 0;
    if (method == SSH_AUTH_METHOD_PASSWORD) return strcmp(ssh_message_auth_password(message), "right") == 0;
    return method == SSH_AUTH_METHOD_PUBLICKEY && is_authorized(ssh_message_auth_pubkey(message));
}

static int authenticate(ssh_session session, ssh_message message, int method)
{
    static const char *prompts[] = { "Password: " };
    static char echo[] = { 0 };

    if (method == SSH_AUTH_METHOD_INTERACTIVE && !ssh_message_auth_kbdint_is_response(message)) {
        questioned = strcmp(ssh_message_auth_user(message), "user") == 0;
        return ssh_message_auth_interactive_request(message, "", "", 1, prompts, echo);
    }
    if (judge(session, message, method)) {
        if (method == SSH_AUTH_METHOD_PUBLICKEY && ssh_message_auth_publickey_state(message) == SSH_PUBLICKEY_STATE_NONE) {
            return ssh_message_auth_reply_pk_ok_simple(message);
        }
        authenticated = 1;
        return ssh_message_auth_reply_success(message, 0);
    }
    ssh_message_auth_set_methods(message, SSH_AUTH_METHOD_PUBLICKEY | SSH_AUTH_METHOD_PASSWORD | SSH_AUTH_METHOD_INTERACTIVE);
    return ssh_message_reply_default(message);
}

static int open_channel(ssh_message message)
{
    int fd = dial(ssh_message_channel_request_open_destination(message),
                  ssh_message_channel_request_open_destination_port(message));
    ssh_channel channel;

    if (fd < 0) return ssh_message_reply_default(message);
    channel = ssh_message_channel_request_open_reply_accept(message);
    if (channel == NULL) {
        close(fd);
        return SSH_ERROR;
    }
    join(channel, fd);
    return SSH_OK;
}

static int forward(ssh_message message)
{
    const char *address = ssh_message_global_request_address(message);
    int chosen = 0, asked = ssh_message_global_request_port(message), fd = listen_on(address, asked, &chosen);
    struct port *port;

    if (fd < 0) return ssh_message_reply_default(message);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    port = calloc(1, sizeof *port);
    port->fd = fd;
    port->number = chosen;
    port->address = strdup(address);
    port->next = ports;
    ports = port;
    return ssh_message_global_request_reply_success(message, asked == 0 ? chosen : 0);
}

static int cancel(ssh_message message)
{
    for (struct port **at = &ports; *at != NULL; at = &(*at)->next) {
        struct port *port = *at;
        if (port->number != ssh_message_global_request_port(message)) continue;
        close(port->fd);
        *at = port->next;
        return ssh_message_global_request_reply_success(message, 0);
    }
    return ssh_message_reply_default(message);
}

/* Handles a message; 0 where it was answered here. */
static int handle(ssh_session session, ssh_message message, void *unused)
{
    int type = ssh_message_type(message), subtype = ssh_message_subtype(message);

    (void)unused;
    if (type == SSH_REQUEST_AUTH) return authenticate(session, message, subtype) == SSH_OK ? 0 : 1;
    if (type == SSH_REQUEST_SERVICE) return ssh_message_service_reply_success(message) == SSH_OK ? 0 : 1;
    if (!authenticated) return 1;
    if (type == SSH_REQUEST_CHANNEL_OPEN && subtype == SSH_CHANNEL_DIRECT_TCPIP) return open_channel(message) == SSH_OK ? 0 : 1;
    if (type == SSH_REQUEST_GLOBAL && subtype == SSH_GLOBAL_REQUEST_TCPIP_FORWARD) return forward(message) == SSH_OK ? 0 : 1;
    if (type == SSH_REQUEST_GLOBAL && subtype == SSH_GLOBAL_REQUEST_CANCEL_TCPIP_FORWARD) return cancel(message) == SSH_OK ? 0 : 1;
    return 1;
}

/* From the channel to the socket, as far as both are ready. */
static void move_down(struct joint *joint)
{
    char piece[PIECE];
    int count;

    while ((count = ssh_channel_read_nonblocking(joint->channel, piece, sizeof piece, 0)) > 0) {
        if (joint->length + count > joint->room) {
            joint->room = 2 * (joint->length + count);
            joint->waiting = realloc(joint->waiting, joint->room);
        }
        memcpy(joint->waiting + joint->length, piece, count);
        joint->length += count;
    }
    if (joint->length > 0) {
        ssize_t taken = write(joint->fd, joint->waiting, joint->length);
        if (taken > 0) {
            joint->length -= taken;
            memmove(joint->waiting, joint->waiting + taken, joint->length);
        } else if (taken < 0 && errno != EAGAIN) {
            joint->length = 0;
            joint->channel_ended = joint->fd_ended = joint->shut = 1;
        }
    }
    if (ssh_channel_is_eof(joint->channel) && joint->length == 0 && !joint->shut) {
        shutdown(joint->fd, SHUT_WR);
        joint->shut = joint->channel_ended = 1;
    }
}

/* From the socket to the channel, as far as its window goes. */
static void move_up(struct joint *joint)
{
    char piece[PIECE];
    uint32_t window;

    while (!joint->fd_ended && (window = ssh_channel_window_size(joint->channel)) > 0) {
        ssize_t count = read(joint->fd, piece, window < sizeof piece ? window : sizeof piece);
        if (count < 0 && errno == EAGAIN) return;
        if (count > 0 && ssh_channel_write(joint->channel, piece, count) == count) continue;
        if (count == 0) ssh_channel_send_eof(joint->channel);
        joint->fd_ended = 1;
    }
}

static void accept_from(ssh_session session, struct port *port)
{
    struct sockaddr_in name;
    socklen_t size = sizeof name;
    int fd = accept(port->fd, (struct sockaddr *)&name, &size);
    ssh_channel channel;

    if (fd < 0) return;
    channel = ssh_channel_new(session);
    if (ssh_channel_open_reverse_forward(channel, port->address, port->number, inet_ntoa(name.sin_addr), ntohs(name.sin_port)) != SSH_OK) {
        close(fd);
        return;
    }
    join(channel, fd);
}

/* Moves what can be moved, and waits for more, until the session has ended. */
static void serve(ssh_session session)
{
    while (ssh_is_connected(session)) {
        struct pollfd fds[256] = { { .fd = ssh_get_fd(session) } };
        int count = 1;

        for (struct port *port = ports; port != NULL; port = port->next) accept_from(session, port);
        for (struct joint **at = &joints; *at != NULL;) {
            struct joint *joint = *at;
            int gone;

            move_down(joint);
            move_up(joint);
            /* The client may close right after its last byte: what waits for the socket is written first. */
            gone = ssh_channel_is_closed(joint->channel) && joint->length == 0;
            if (gone || (joint->channel_ended && joint->fd_ended && joint->length == 0)) {
                ssh_channel_close(joint->channel);
                close(joint->fd);
                *at = joint->next;
                continue;
            }
            at = &joint->next;
        }
        for (struct port *port = ports; port != NULL && count < 256; port = port->next, count++) {
            fds[count] = (struct pollfd){ .fd = port->fd, .events = POLLIN };
        }
        for (struct joint *joint = joints; joint != NULL && count < 256; joint = joint->next, count++) {
            int readable = !joint->fd_ended && ssh_channel_window_size(joint->channel) > 0;
            fds[count] = (struct pollfd){ .fd = joint->fd, .events = (readable ? POLLIN : 0) | (joint->length > 0 ? POLLOUT : 0) };
            if (fds[count].events == 0) fds[count].fd = -1;
        }
        fds[0].events = POLLIN | (ssh_get_poll_flags(session) & SSH_WRITE_PENDING ? POLLOUT : 0);
        if (poll(fds, count, 1000) > 0 && fds[0].revents != 0) ssh_execute_message_callbacks(session);
        if (fds[0].revents & (POLLHUP | POLLERR)) return;
    }
}

/* Counts exchanges of keys by what libssh logs. */
static void logged(int priority, const char *function, const char *text, void *unused)
{
    (void)priority;
    (void)function;
    (void)unused;
    if (strstr(text, "Received SSH_MSG_NEWKEYS")) {
        puts("newkeys");
        fflush(stdout);
    }
}

static void run_session(ssh_bind bind, int fd, uint64_t limit)
{
    ssh_session session = ssh_new();

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    ssh_set_message_callback(session, handle, NULL);
    if (ssh_bind_accept_fd(bind, session, fd) != SSH_OK) exit(1);
    if (limit > 0) ssh_options_set(session, SSH_OPTIONS_REKEY_DATA, &limit);
    if (ssh_handle_key_exchange(session) != SSH_OK) exit(1);
    ssh_set_blocking(session, 1);
    serve(session);
    exit(0);
}

int main(int argc, char **argv)
{
    int fds[2], numbers[2];
    ssh_bind bind = ssh_bind_new();

    if (argc < 3) return 2;
    authorized = argv[1];
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    ssh_init();
    ssh_set_log_callback(logged);
    ssh_set_log_level(SSH_LOG_TRACE);
    for (int number = 2; number < argc; number++) ssh_bind_options_set(bind, SSH_BIND_OPTIONS_HOSTKEY, argv[number]);
    for (int number = 0; number < 2; number++) fds[number] = listen_on("127.0.0.1", 0, &numbers[number]);
    printf("%d %d\n", numbers[0], numbers[1]);
    fflush(stdout);
    for (;;) {
        struct pollfd wait[] = { { .fd = fds[0], .events = POLLIN }, { .fd = fds[1], .events = POLLIN }, { .fd = 0, .events = POLLIN } };

        if (poll(wait, 3, -1) < 0) continue;
        if (wait[2].revents != 0) return 0;
        for (int number = 0; number < 2; number++) {
            int fd, yes = 1;

            if (!(wait[number].revents & POLLIN) || (fd = accept(fds[number], NULL, NULL)) < 0) continue;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
            if (fork() == 0) run_session(bind, fd, number == 0 ? 0 : MIB);
            close(fd);
        }
    }
}
