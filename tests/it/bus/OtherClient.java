// Another Kafka client: publishes to TOPIC at BROKERS as other systems may, and prints the partition of each record.
//
// java -cp 'LIBS/*' OtherClient.java BROKERS TOPIC

import java.nio.charset.StandardCharsets;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class OtherClient {
    static KafkaProducer<byte[], byte[]> producer(String brokers, String compression, String transaction) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", brokers);
        settings.put("compression.type", compression);
        settings.put("linger.ms", "20");
        if (transaction != null) {
            settings.put("transactional.id", transaction);
        }
        return new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer());
    }

    static byte[] bytes(String text) {
        return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
    }

    static void send(KafkaProducer<byte[], byte[]> producer, String topic, String key, String value) throws Exception {
        int partition = producer.send(new ProducerRecord<>(topic, bytes(key), bytes(value))).get().partition();
        System.out.println(key + " " + partition);
    }

    public static void main(String[] arguments) throws Exception {
        String brokers = arguments[0], topic = arguments[1];
        for (String compression : new String[] {"none", "gzip", "snappy", "lz4", "zstd"}) {
            try (var producer = producer(brokers, compression, null)) {
                for (int n = 0; n < 20; n++) {
                    send(producer, topic, compression + n * 7919, compression + " " + n);
                }
            }
        }
        try (var producer = producer(brokers, "none", "other-" + topic)) {
            producer.initTransactions();
            for (int round = 0; round < 3; round++) {
                producer.beginTransaction();
                send(producer, topic, "tx", "committed " + round);
                producer.commitTransaction();
            }
            producer.beginTransaction();
            send(producer, topic, "tx", "aborted");
            producer.abortTransaction();
        }
        try (var producer = producer(brokers, "none", null)) {
            send(producer, topic, "tx", "after");
            send(producer, topic, "tombstone", null);
        }
    }
}
