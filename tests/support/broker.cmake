add_executable(broker_host tests/support/broker_host.cpp)
target_link_libraries(broker_host PRIVATE dirbox_broker)
