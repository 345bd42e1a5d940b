//! To what: the first of `resources`, else what the request names.

use super::record::Record;
use crate::event::Resource;

/// The resource of a record.
pub fn resource(record: &Record<'_>) -> Resource {
    let listed = record.objects("resources");
    // A listing names its prefix first and the bucket after it: the whole ARN says more.
    let of_listed = |key| {
        listed
            .iter()
            .find_map(|resource| of_arn(resource.short(key)?, resource.short("type")))
    };
    of_listed("ARN")
        .or_else(|| of_listed("ARNPrefix"))
        .or_else(|| of_request(record))
        .or_else(|| {
            record
                .object("responseElements")
                .and_then(|response| of_instances(&response))
        })
        .unwrap_or_default()
}

fn of_arn(arn: String, kind: Option<String>) -> Option<Resource> {
    Some(Resource {
        kind: kind.or_else(|| kind_of_arn(&arn)),
        name: name_of_arn(&arn),
        id: Some(arn),
    })
}

/// Types of resources by the service in their ARN and the word before their name.
const ARN_TYPES: [(&str, &str, &str); 14] = [
    ("s3", "", "AWS::S3::Bucket"),
    ("ssm", "parameter", "AWS::SSM::Parameter"),
    ("ssm", "association", "AWS::SSM::Association"),
    ("iam", "user", "AWS::IAM::User"),
    ("iam", "role", "AWS::IAM::Role"),
    ("iam", "group", "AWS::IAM::Group"),
    ("iam", "policy", "AWS::IAM::Policy"),
    ("lambda", "function", "AWS::Lambda::Function"),
    ("secretsmanager", "secret", "AWS::SecretsManager::Secret"),
    ("kms", "key", "AWS::KMS::Key"),
    ("ec2", "instance", "AWS::EC2::Instance"),
    ("dynamodb", "table", "AWS::DynamoDB::Table"),
    ("rds", "db", "AWS::RDS::DBInstance"),
    ("cloudtrail", "trail", "AWS::CloudTrail::Trail"),
];

/// Of `arn:partition:service:region:account:type/name`; for what the table does not know, the service alone.
fn kind_of_arn(arn: &str) -> Option<String> {
    let mut parts = arn.splitn(6, ':').skip(2);
    let service = parts.next().filter(|service| !service.is_empty())?;
    let rest = parts.nth(2).unwrap_or_default();
    let word = rest.split_once(['/', ':']).map_or("", |(word, _)| word);
    let known = ARN_TYPES
        .iter()
        .find(|(of, kind, _)| *of == service && *kind == word);
    Some(known.map_or_else(|| format!("AWS::{service}"), |(_, _, kind)| (*kind).to_owned()))
}

fn name_of_arn(arn: &str) -> Option<String> {
    let name = arn.trim_end_matches(['/', '*']).rsplit([':', '/']).next()?;
    (!name.is_empty() && name != arn).then(|| name.to_owned())
}

/// Parameters that name what a call is about, the more telling first. An ARN tells its own service.
const PARAMETERS: [(&str, &str); 45] = [
    ("bucketName", "AWS::S3::Bucket"),
    ("roleName", "AWS::IAM::Role"),
    ("roleArn", "AWS::IAM::Role"),
    ("userName", "AWS::IAM::User"),
    ("groupName", "AWS::IAM::Group"),
    ("instanceProfileName", "AWS::IAM::InstanceProfile"),
    ("policyArn", "AWS::IAM::Policy"),
    ("policyName", "AWS::IAM::Policy"),
    ("accessKeyId", "AWS::IAM::AccessKey"),
    ("secretId", "AWS::SecretsManager::Secret"),
    ("keyId", "AWS::KMS::Key"),
    ("trailName", "AWS::CloudTrail::Trail"),
    ("functionName", "AWS::Lambda::Function"),
    ("tableName", "AWS::DynamoDB::Table"),
    ("topicArn", "AWS::SNS::Topic"),
    ("queueUrl", "AWS::SQS::Queue"),
    ("queueName", "AWS::SQS::Queue"),
    ("streamName", "AWS::Kinesis::Stream"),
    ("stackName", "AWS::CloudFormation::Stack"),
    ("logGroupName", "AWS::Logs::LogGroup"),
    ("repositoryName", "AWS::ECR::Repository"),
    ("dBInstanceIdentifier", "AWS::RDS::DBInstance"),
    ("dBClusterIdentifier", "AWS::RDS::DBCluster"),
    ("dBSnapshotIdentifier", "AWS::RDS::DBSnapshot"),
    ("dBSubnetGroupName", "AWS::RDS::DBSubnetGroup"),
    ("hostedZoneId", "AWS::Route53::HostedZone"),
    ("detectorId", "AWS::GuardDuty::Detector"),
    ("instanceId", "AWS::EC2::Instance"),
    ("snapshotId", "AWS::EC2::Snapshot"),
    ("volumeId", "AWS::EC2::Volume"),
    ("imageId", "AWS::EC2::Image"),
    ("natGatewayId", "AWS::EC2::NatGateway"),
    ("internetGatewayId", "AWS::EC2::InternetGateway"),
    ("networkInterfaceId", "AWS::EC2::NetworkInterface"),
    ("networkAclId", "AWS::EC2::NetworkAcl"),
    ("allocationId", "AWS::EC2::EIP"),
    ("routeTableId", "AWS::EC2::RouteTable"),
    ("groupId", "AWS::EC2::SecurityGroup"),
    ("subnetId", "AWS::EC2::Subnet"),
    ("vpcId", "AWS::EC2::VPC"),
    ("clusterName", "AWS::EKS::Cluster"),
    ("documentName", "AWS::SSM::Document"),
    ("resourceArn", ""),
    ("resourceARN", ""),
    ("arn", ""),
];

fn of_request(record: &Record<'_>) -> Option<Resource> {
    let request = record.object("requestParameters")?;
    let named = PARAMETERS
        .iter()
        .find_map(|(key, kind)| Some((request.short(key)?, *kind)));
    match (named, record.service().as_deref()) {
        (Some((id, kind)), _) => {
            let kind = if kind.is_empty() {
                kind_of_arn(&id)
            } else {
                Some(kind.to_owned())
            };
            Some(Resource {
                kind,
                name: name_of_arn(&id).filter(|_| id.starts_with("arn:")),
                id: Some(id),
            })
        }
        (None, Some("ssm")) => named_by(&request, "AWS::SSM::Parameter"),
        (None, Some("cloudtrail")) => named_by(&request, "AWS::CloudTrail::Trail"),
        (None, Some("secretsmanager")) => named_by(&request, "AWS::SecretsManager::Secret"),
        (None, _) => of_instances(&request),
    }
}

fn named_by(request: &Record<'_>, kind: &str) -> Option<Resource> {
    Some(Resource {
        kind: Some(kind.to_owned()),
        id: Some(request.short("name")?),
        name: None,
    })
}

/// `instancesSet.items[0].instanceId`, which EC2 uses for one and for many.
fn of_instances(parameters: &Record<'_>) -> Option<Resource> {
    let first = parameters
        .object("instancesSet")?
        .objects("items")
        .into_iter()
        .next()?;
    Some(Resource {
        kind: Some("AWS::EC2::Instance".to_owned()),
        id: Some(first.short("instanceId")?),
        name: None,
    })
}
