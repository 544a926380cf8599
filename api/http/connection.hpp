// One client's connection: HTTP/1.1 requests, one after another, each with its deadlines.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <list>
#include <memory>
#include <span>

#include "api/http/route.hpp"
#include "core/async/task.hpp"
#include "core/http/listener.hpp"

namespace assay::api {

using http::Socket;

/// The connections of one thread from which no whole request has come since they were opened or last
/// answered, the longest idle first. Whoever has no key cannot leave this list but for a moment.
class IdleConnections {
 public:
  /// A connection's place in the list, until the end of its life.
  class Place {
   public:
    Place(IdleConnections& of, Socket& socket)
        : list_(of.list_), at_(list_.insert(list_.end(), Entry{&socket})) {}
    ~Place() { list_.erase(at_); }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    /// The beginning of a request is there.
    void begin() { at_->begun = true; }

   private:
    friend class IdleConnections;
    struct Entry {
      Socket* socket;
      bool begun = false;
    };
    std::list<Entry>& list_;
    std::list<Entry>::iterator at_;
  };

  /// Makes room for another; false: none is idle.
  bool close_longest();
  /// Ends those that have not begun a request: a server that stops does not wait for them.
  void cancel_waiting();

 private:
  std::list<Place::Entry> list_;
};

/// What a listener's connections share. The owner outlives them.
struct Service {
  Context& context;
  std::span<const Route> routes;
};

/// `tls` null: plain HTTP.
Task<> serve_connection(Service service, IdleConnections& idle, Socket socket,
                        std::shared_ptr<asio::ssl::context> tls);

/// Tells a client that there are too many already, so that it tries again later.
Task<> refuse_connection(Socket socket);

}  // namespace assay::api
