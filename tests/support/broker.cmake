add_executable(broker_host tests/support/broker_host.cpp)
target_link_libraries(broker_host PRIVATE dirbox_broker)
add_executable(spawn_latency tests/support/spawn_latency.cpp)
target_link_libraries(spawn_latency PRIVATE dirbox_options)
