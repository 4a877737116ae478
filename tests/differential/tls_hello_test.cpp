#include "netns/tls_hello.h"

#include <doctest/doctest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <functional>
#include <memory>
#include <random>

/// OpenSSL as the other reader of a ClientHello: hellos that it writes are read in full, and from
/// damaged ones we never take another name than it does.
using namespace dirbox;
using namespace dirbox::netns;
using namespace std::literals;

namespace {

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Context = std::unique_ptr<SSL_CTX, Deleter<SSL_CTX_free>>;
using Connection = std::unique_ptr<SSL, Deleter<SSL_free>>;
using Session = std::unique_ptr<SSL_SESSION, Deleter<SSL_SESSION_free>>;

/// Everything that waits in the write side of a connection.
std::string drain(SSL* ssl) {
  std::string out(BIO_pending(SSL_get_wbio(ssl)), '\0');
  if (!out.empty())
    out.resize(BIO_read(SSL_get_wbio(ssl), out.data(), static_cast<int>(out.size())));
  return out;
}

void push(SSL* ssl, const std::string& bytes) {
  if (!bytes.empty()) BIO_write(SSL_get_rbio(ssl), bytes.data(), static_cast<int>(bytes.size()));
}

Connection connection(SSL_CTX* context, bool server) {
  Connection ssl(SSL_new(context));
  SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  if (server)
    SSL_set_accept_state(ssl.get());
  else
    SSL_set_connect_state(ssl.get());
  return ssl;
}

std::string first_flight(SSL* client) {
  SSL_do_handshake(client);
  ERR_clear_error();
  return drain(client);
}

TlsHelloReader read(const std::string& stream, std::size_t piece = 1460) {
  TlsHelloReader reader;
  for (std::size_t i = 0; i < stream.size(); i += piece) {
    auto part = std::string_view(stream).substr(i, piece);
    reader.feed(std::as_bytes(std::span(part.data(), part.size())));
  }
  return reader;
}

std::string alpn_list(const std::vector<std::string>& protocols) {
  std::string wire;
  for (const std::string& protocol : protocols)
    wire += static_cast<char>(protocol.size()) + protocol;
  return wire;
}

/// What an OpenSSL server makes of a stream.
struct Oracle {
  bool parsed = false;  ///< it went on to choose a certificate
  std::string name;
};

int note_name(SSL* ssl, int*, void* seen) {
  auto* oracle = static_cast<Oracle*>(seen);
  oracle->parsed = true;
  if (const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) oracle->name = name;
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

Oracle ask_openssl(SSL_CTX* server, const std::string& stream) {
  Oracle oracle;
  SSL_CTX_set_tlsext_servername_callback(server, note_name);
  SSL_CTX_set_tlsext_servername_arg(server, &oracle);
  Connection ssl = connection(server, true);
  push(ssl.get(), stream);
  SSL_do_handshake(ssl.get());
  ERR_clear_error();
  return oracle;
}

}  // namespace

TEST_CASE("hellos of OpenSSL in many configurations") {
  struct Setup {
    std::string_view what;
    std::function<void(SSL_CTX*)> apply;
  };
  const Setup setups[] = {
      {"default", [](SSL_CTX*) {}},
      {"TLS 1.2", [](SSL_CTX* c) { SSL_CTX_set_max_proto_version(c, TLS1_2_VERSION); }},
      {"TLS 1.0",
       [](SSL_CTX* c) {
         SSL_CTX_set_security_level(c, 0);
         SSL_CTX_set_min_proto_version(c, TLS1_VERSION);
         SSL_CTX_set_max_proto_version(c, TLS1_VERSION);
       }},
      {"TLS 1.3", [](SSL_CTX* c) { SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION); }},
      {"padded", [](SSL_CTX* c) { SSL_CTX_set_options(c, SSL_OP_TLSEXT_PADDING); }},
      {"no tickets", [](SSL_CTX* c) { SSL_CTX_set_options(c, SSL_OP_NO_TICKET); }},
      {"groups", [](SSL_CTX* c) { SSL_CTX_set1_groups_list(c, "P-521:X448:X25519"); }},
      {"hybrid group where the library has it",
       [](SSL_CTX* c) { SSL_CTX_set1_groups_list(c, "X25519MLKEM768:X25519"); }},
      {"small records", [](SSL_CTX* c) { SSL_CTX_set_max_send_fragment(c, 512); }},
      {"OCSP", [](SSL_CTX* c) { SSL_CTX_set_tlsext_status_type(c, TLSEXT_STATUSTYPE_ocsp); }},
  };
  std::vector<std::string> many;
  for (int i = 0; i < 200; ++i) many.push_back(std::string(200, static_cast<char>('a' + i % 26)));
  const std::vector<std::string> alpns[] = {{}, {"h2", "http/1.1"}, many};
  for (const Setup& setup : setups) {
    for (const auto& alpn : alpns) {
      for (const char* name : {"allowed.test", "AbC.xn--bcher-kva.test", ""}) {
        CAPTURE(setup.what);
        CAPTURE(name);
        CAPTURE(alpn.size());
        Context context(SSL_CTX_new(TLS_client_method()));
        setup.apply(context.get());
        ERR_clear_error();
        Connection client = connection(context.get(), false);
        std::string wire = alpn_list(alpn);
        if (!wire.empty())
          SSL_set_alpn_protos(client.get(), reinterpret_cast<const unsigned char*>(wire.data()),
                              static_cast<unsigned>(wire.size()));
        if (*name) SSL_set_tlsext_host_name(client.get(), name);
        std::string stream = first_flight(client.get());
        REQUIRE(stream.size() > 50);
        for (std::size_t piece : {1, 1460, 1000000}) {
          TlsHelloReader reader = read(stream, piece);
          REQUIRE(reader.status() == TlsHelloStatus::complete);
          CHECK(reader.hello().server_name.has_value() == (*name != 0));
          if (*name) CHECK(*reader.hello().server_name == parse_hostname(name).value());
          CHECK(reader.hello().alpn == alpn);
          CHECK_FALSE(reader.hello().ech);
        }
      }
    }
  }
}

TEST_CASE("a hello that resumes a session with a large ticket") {
  auto make = [](const SSL_METHOD* method) {
    Context context(SSL_CTX_new(method));
    SSL_CTX_set_security_level(context.get(), 0);
    SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION);
    REQUIRE(SSL_CTX_set_cipher_list(context.get(), "aNULL") == 1);  // no certificate needed
    return context;
  };
  Context client_context = make(TLS_client_method()), server_context = make(TLS_server_method());
  static const std::string ticket_data(20000, 't');
  SSL_CTX_set_session_ticket_cb(
      server_context.get(),
      [](SSL* ssl, void*) {
        return SSL_SESSION_set1_ticket_appdata(SSL_get0_session(ssl), ticket_data.data(),
                                               ticket_data.size());
      },
      [](SSL*, SSL_SESSION*, const unsigned char*, std::size_t, SSL_TICKET_STATUS, void*) {
        return static_cast<SSL_TICKET_RETURN>(SSL_TICKET_RETURN_IGNORE_RENEW);
      },
      nullptr);
  Connection client = connection(client_context.get(), false);
  Connection server = connection(server_context.get(), true);
  for (int i = 0; i < 10 && !SSL_is_init_finished(client.get()); ++i) {
    SSL_do_handshake(client.get());
    push(server.get(), drain(client.get()));
    SSL_do_handshake(server.get());
    push(client.get(), drain(server.get()));
  }
  REQUIRE(SSL_is_init_finished(client.get()));
  Session session(SSL_get1_session(client.get()));
  Connection again = connection(client_context.get(), false);
  SSL_set_session(again.get(), session.get());
  SSL_set_tlsext_host_name(again.get(), "allowed.test");
  std::string stream = first_flight(again.get());
  CHECK(stream.size() > ticket_data.size());  // in two records at least
  for (std::size_t piece : {1, 1460, 100000}) {
    TlsHelloReader reader = read(stream, piece);
    REQUIRE(reader.status() == TlsHelloStatus::complete);
    CHECK(reader.hello().server_name->text() == "allowed.test");
  }
}

TEST_CASE("from a damaged hello we take the name that OpenSSL takes, or none") {
  Context client_context(SSL_CTX_new(TLS_client_method())),
      server(SSL_CTX_new(TLS_server_method()));
  Connection client = connection(client_context.get(), false);
  SSL_set_tlsext_host_name(client.get(), "allowed.test");
  std::string alpn = alpn_list({"h2", "http/1.1"});
  SSL_set_alpn_protos(client.get(), reinterpret_cast<const unsigned char*>(alpn.data()),
                      static_cast<unsigned>(alpn.size()));
  const std::string stream = first_flight(client.get());
  REQUIRE(ask_openssl(server.get(), stream).name == "allowed.test");
  std::mt19937 random(1);
  std::size_t both = 0;
  for (int round = 0; round < 6000; ++round) {
    std::string damaged = stream;
    for (unsigned n = 1 + random() % 3; n > 0; --n) {
      std::size_t at = random() % damaged.size();
      switch (random() % 4) {
        case 0:
          damaged[at] = static_cast<char>(random());
          break;
        case 1:
          damaged[at] = static_cast<char>(damaged[at] + (random() % 2 ? 1 : -1));
          break;
        case 2:
          damaged.erase(at, 1 + random() % 4);
          break;
        case 3:
          damaged.insert(at, damaged.substr(random() % damaged.size(), 1 + random() % 24));
          break;
      }
    }
    TlsHelloReader reader = read(damaged);
    Oracle oracle = ask_openssl(server.get(), damaged);
    if (reader.status() != TlsHelloStatus::complete || !oracle.parsed) continue;
    ++both;
    CAPTURE(round);
    CAPTURE(oracle.name);
    if (reader.hello().server_name) {
      auto theirs = parse_hostname(oracle.name);
      REQUIRE(theirs);
      CHECK(*theirs == *reader.hello().server_name);
    } else {
      CHECK(oracle.name.empty());
    }
  }
  CHECK(both > 500);
}
